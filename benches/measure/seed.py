"""Rows of a grown installation: an operator's resellers, each with a key and a ceiling, and their tenants."""

import hashlib
import json
import random
import time
import zlib

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
PAIRS = [one + other for one in ALPHABET for other in ALPHABET]
BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
RESELLERS = 100
QUOTA_KEYS = ("mail.domains", "mail.mailboxes", "mail.storage_mb")
AT = "2026-01-01T00:00:00.000000Z"
KEY_SCOPES = ["accounts:read", "orders:place", "services:suspend", "services:resume"]

ACCOUNTS = ("id path parent_id type status environment name contact_email country locale time_zone currency "
            "fingerprint metadata version created_at updated_at").split()
COUNTERS = "account_id path".split()
KEYS = ("id account_id path environment name secret_hash scopes hold_classes status created_by created_at "
        "version").split()
QUOTAS = "holder key account_id path mode ceiling updated_at".split()
SUBSCRIPTIONS = ("id account_id path status plan_id plan_version quantity order_id metadata version created_at "
                 "updated_at").split()
SERVICES = ("id account_id path subscription_id type name lifecycle applied_access server_id settings observed "
            "version created_at updated_at").split()


class Seed:
    """Makes the rows, the same ones each time."""

    def __init__(self, operator_id):
        self.random = random.Random(operator_id)
        self.millis = int(time.time() * 1000) - 10_000_000
        self.operator = (operator_id, f"/{operator_id[-12:]}/")
        # (id, path, key), and (id, path, reseller).
        self.resellers, self.tenants = [], []

    def identifier(self, prefix):
        """As `model::ids` makes them: a UUIDv7 in 26 characters of base 32."""
        self.millis += 1
        value = (self.millis << 80) | (7 << 76) | (self.random.getrandbits(12) << 64) | (2 << 62)
        value |= self.random.getrandbits(62)
        text = "".join(PAIRS[value >> shift & 1023] for shift in range(120, -1, -10))
        return f"{prefix}_{text}"

    def _account(self, kind, parent, name):
        identifier = self.identifier("acc")
        path = f"{parent[1]}{identifier[-12:]}/"
        row = (identifier, path, parent[0], kind, "active", "live", name, f"it@{identifier[4:]}.example", "DE",
               "de-DE", "Europe/Berlin", "EUR", "0" * 64, "{}", 1, AT, AT)
        return (identifier, path), row

    def make_resellers(self, database):
        accounts, keys, quotas = [], [], []
        for number in range(RESELLERS):
            (identifier, path), row = self._account("reseller", self.operator, f"Reseller {number}")
            accounts.append(row)
            key_id, secret = self.identifier("key"), "".join(self.random.choices(BASE62, k=43))
            text = f"tnk_live_{key_id[4:]}_{secret}"
            keys.append((key_id, identifier, path, "live", "bench", hashlib.sha256(secret.encode()).hexdigest(),
                         json.dumps(KEY_SCOPES), '["payment"]', "active", "bench", AT, 1))
            for quota in QUOTA_KEYS:
                quotas.append((path, quota, identifier, path, "shared", 10**12, AT))
            self.resellers.append((identifier, path, text + checksum(text)))
        database.insert("accounts", ACCOUNTS, accounts)
        database.insert("account_counters", COUNTERS, [row[:2] for row in accounts])
        database.insert("api_keys", KEYS, keys)
        database.insert("quotas", QUOTAS, quotas)

    def grow(self, database, size):
        """Opens tenants below the resellers, one after another, until there are so many."""
        rows = []
        for number in range(len(self.tenants), size):
            reseller = self.resellers[number % RESELLERS]
            tenant, row = self._account("tenant", reseller, f"Tenant {number}")
            self.tenants.append((*tenant, reseller))
            rows.append(row)
        database.insert("accounts", ACCOUNTS, rows)
        database.insert("account_counters", COUNTERS, [row[:2] for row in rows])
        database.settle()

    def make_services(self, database, plan_id, server_id, count):
        """An active subscription with its ceilings and one active service for so many tenants; gives (key, service)."""
        subscriptions, services, quotas, made = [], [], [], []
        for identifier, path, reseller in self.random.sample(self.tenants, min(count, len(self.tenants))):
            subscription, service = self.identifier("sub"), self.identifier("svc")
            subscriptions.append((subscription, identifier, path, "active", plan_id, 1, 1, self.identifier("ord"),
                                  "{}", 1, AT, AT))
            services.append((service, identifier, path, subscription, "mail", "Mail", "active", "full", server_id,
                             "{}", "{}", 1, AT, AT))
            quotas += [(subscription, quota, identifier, path, "allocated", 1024, AT) for quota in QUOTA_KEYS]
            made.append((reseller[2], service))
        database.insert("subscriptions", SUBSCRIPTIONS, subscriptions)
        database.insert("services", SERVICES, services)
        database.insert("quotas", QUOTAS, quotas)
        database.settle()
        return made


    def make_subscriptions(self, database, plan_id, count):
        """Active subscriptions, however many for each tenant."""
        rows = []
        for number in range(count):
            identifier, path, _ = self.tenants[number % len(self.tenants)]
            rows.append((self.identifier("sub"), identifier, path, "active", plan_id, 1, 1, self.identifier("ord"),
                         "{}", 1, AT, AT))
        database.insert("subscriptions", SUBSCRIPTIONS, rows)
        database.settle()


def checksum(text):
    """As `access::secret` ends a key: its CRC-32 in six digits of base 62."""
    rest, digits = zlib.crc32(text.encode()), ""
    for _ in range(6):
        rest, digit = divmod(rest, 62)
        digits = BASE62[digit] + digits
    return digits
