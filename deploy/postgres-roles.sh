#!/bin/bash
# Run once by the PostgreSQL image when its data folder is new: the owner that migrates, the role that
# serves, and the database. docs/OPERATING.md explains what each may do.
set -euo pipefail

psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
    -v owner_password="$TENANTRY_OWNER_PASSWORD" -v app_password="$TENANTRY_APP_PASSWORD" <<'SQL'
CREATE ROLE tenantry_owner LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD :'owner_password';
CREATE ROLE tenantry_app LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD :'app_password';
CREATE DATABASE tenantry OWNER tenantry_owner;
REVOKE ALL ON DATABASE tenantry FROM PUBLIC;
GRANT CONNECT ON DATABASE tenantry TO tenantry_app;
\connect tenantry
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO tenantry_app;
ALTER DEFAULT PRIVILEGES FOR ROLE tenantry_owner IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO tenantry_app;
SQL
