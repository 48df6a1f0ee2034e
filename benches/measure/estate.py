"""An installation in which every tenant has something of each kind: what one tenant was given through the API, again for
each of the others. With three of twenty of them something is wrong."""

from .seed import ACCOUNTS, COUNTERS, Seed

CUSTOMERS = 1_000
OWN = 10
CHUNK = 20_000
# Of so many tenants one is held, one has an operation that needs attention, and one has passed a quota.
TROUBLED_OF = 20
HELD, STUCK, PASSED = 2, 8, 14
TABLES = {"members": "mbr", "api_keys": "key", "orders": "ord", "quotes": "quo", "subscriptions": "sub", "services": "svc",
          "resources": "res", "operations": "op"}
# What a row refers to by, and what that is called in the account's own name.
REFERENCES = {"order_id": "ord", "subscription_id": "sub", "service_id": "svc", "resource_id": "res", "operation_id": "op",
              "lock": "res"}
NUMBER = "CAST(substr(a.external_id, 5) AS BIGINT)"


class Estate(Seed):
    """A reseller that has a thousand customers however large the rest is, and a tenant below it with ten of each kind."""

    def __init__(self, product, database, folder):
        super().__init__(product.operator_id)
        self.product, self.database = product, database
        self.plan, _ = product.make_plan(folder)
        self.seller = self.opened("reseller", "The reseller")
        self.tenant = self.opened("tenant", "The tenant", self.seller)
        self.keys = {"operator": product.key,
                     "reseller": self.credential(self.seller, "reseller_admin")["secret"],
                     "tenant": self.credential(self.tenant, "tenant_admin")["secret"]}
        self.pattern = self.bought()
        self.make_resellers(database)

    def opened(self, kind, name, parent=None):
        told = {"type": kind, "name": name, **({"parent_id": parent[0]} if parent else {})}
        account = self.product.ask("POST", "/v1/accounts", told)["id"]
        return account, f"{(parent or self.operator)[1]}{account[-12:]}/"

    def credential(self, account, bundle):
        return self.product.ask("POST", "/v1/keys", {"account_id": account[0], "name": "bench", "bundle": bundle})

    def bought(self):
        """Gives the tenant what it has, and the identifiers of what all others get one of."""
        ask, account, wait = self.product.ask, self.tenant[0], {"Prefer": "wait=25"}
        item = {"action": "add", "plan": "hosted-mail", "quantity": 5}
        ask("PUT", f"/v1/accounts/{account}/quotas/mail.mailboxes", {"ceiling": 1_000, "mode": "shared"}, {"If-Match": "*"})
        for number in range(OWN):
            order = ask("POST", "/v1/orders", {"account_id": account, "items": [item]}, wait)
            [bought] = order["items"]
            place = f"/v1/services/{bought['service_ids'][0]}/resources"
            resource = ask("POST", place, {"type": "domain", "spec": {"name": f"own{number}.example"}}, wait)
            quote = ask("POST", "/v1/quotes", {"account_id": account, "items": [item]})
            person = {"account_id": account, "role": "viewer", "name": "Somebody", "email": f"me{number}@own.example"}
            member = ask("POST", "/v1/members", person)
            key = self.credential(self.tenant, "tenant_admin")
            operation = resource.get("operation") or {"id": resource["operation_id"]}
        other = self.opened("tenant", "Held", self.seller)
        ask("POST", f"/v1/accounts/{other[0]}/suspend", {"reason_code": "payment"})
        self.subscription = bought["subscription_id"]
        return {"members": member["id"], "api_keys": key["id"], "orders": order["id"], "quotes": quote["id"],
                "subscriptions": self.subscription, "services": bought["service_ids"][0],
                "resources": resource["id"], "operations": operation["id"]}

    def fill(self, size):
        """Opens tenants, the first thousand below the reseller, until there are so many, with what each has."""
        while len(self.tenants) < size:
            first, rows = len(self.tenants), []
            # The accounts of a chunk are those between two identifiers.
            after = self.identifier("acc")
            for number in range(first, min(size, first + CHUNK)):
                above = self.seller if number < CUSTOMERS else self.resellers[number % len(self.resellers)]
                tenant, row = self._account("tenant", above, f"Tenant {number}")
                self.tenants.append((*tenant, above))
                rows.append((*row, f"crm-{number}", above[0]))
            until = self.identifier("acc")
            self.database.insert("accounts", [*ACCOUNTS, "external_id", "external_id_by"], rows)
            self.database.insert("account_counters", COUNTERS, [row[:2] for row in rows])
            self.database.run("; ".join(self.copies(f"a.id > '{after}' AND a.id < '{until}'")))
        self.database.settle()

    def copies(self, which):
        """Statements that give each of the accounts its own of what the one tenant has."""
        named = lambda prefix: f"'{prefix}_' || substr(a.id, 5)"
        for table, prefix in TABLES.items():
            values = {"id": named(prefix), **{column: named(kind) for column, kind in REFERENCES.items()}}
            if table == "resources":
                values["name"] = "'d' || substr(a.id, 5) || '.example'"
            if table == "subscriptions":
                values["external_id"] = f"'sub-' || {NUMBER}"
            if table == "operations":
                values["status"] = f"CASE WHEN {NUMBER} % {TROUBLED_OF} = {STUCK} THEN 'needs_attention' ELSE t.status END"
            yield self.copy(table, f"t.id = '{self.pattern[table]}'", which, values)
        passed = f"{NUMBER} % {TROUBLED_OF} = {PASSED}"
        filled = {"holder": "a.path", "used": f"CASE WHEN {passed} THEN t.ceiling + 1 ELSE 0 END", "reserved": "0",
                  "told": f"CASE WHEN {passed} THEN 101 ELSE 0 END"}
        yield self.copy("quotas", f"t.holder = '{self.tenant[1]}'", which, filled)
        yield self.copy("quotas", f"t.holder = '{self.subscription}'", which, {"holder": named("sub")})
        held = {"id": named("hld"), "target_id": "a.id", "target": "a.path"}
        of = f"{which} AND {NUMBER} % {TROUBLED_OF} = {HELD}"
        yield self.copy("holds", "t.id = (SELECT MIN(id) FROM holds)", of, held)

    def copy(self, table, pattern, which, values):
        columns = self.database.columns(table)
        values = {**values, "account_id": "a.id", "path": "a.path"}
        told = ", ".join(values.get(column, f"t.{column}") for column in columns)
        return f"INSERT INTO {table} ({', '.join(columns)}) SELECT {told} FROM accounts a, {table} t WHERE {pattern} AND {which}"

    def customers(self):
        """The reseller's, of whom there are as many in every size."""
        return self.tenants[:CUSTOMERS]
