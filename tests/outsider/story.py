#!/usr/bin/env python3
"""An outsider repeats the story of the README against `tenantry serve` and real mail servers.

It knows README.md, docs/ and openapi/v1.json, and has curl and Python's standard library. It starts Dovecot
and Postfix by backends/start (as root) and the program named in TENANTRY_BIN, target/debug/tenantry by default,
all in a temporary folder and on free loopback ports, and stops them at the end.
"""

import imaplib
import json
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

from world import (
    DOVEADM_KEY, KEK, Backends, Caller, Customer, Different, Document, Product, Receiver, eventually, send, well_signed,
)

DOMAIN = "acme.example"
ALICE, BOB = f"alice@{DOMAIN}", f"bob@{DOMAIN}"
ALICES, BOBS, NEW = "correct-horse-1", "battery-staple-2", "another-horse-3"
NEWCOMERS = "newcomer.example"
DANA, DANAS = f"dana@{NEWCOMERS}", "purple-stapler-4"
# What the feed of the reseller says, in this order; operations end beside it.
TOLD = """
    account.created key.created key.created account.created
    order.created service.provisioned service.provisioned
    resource.created resource.created resource.created subscription.activated order.completed
    order.created subscription.quantity_changed order.completed resource.created
    webhook_endpoint.created
    hold.placed service.suspended service.suspended hold.placed hold.released
    hold.released service.resumed service.resumed
    subscription.cancelled hold.placed service.suspended service.suspended
    subscription.renewed hold.released service.resumed service.resumed
    resource.updated resource.deleted
""".split()
# What billing is told by webhook: payment's hold and abuse's, in no promised order.
HOOKED = ["hold.placed", "hold.placed", "hold.released", "hold.released"]


def expect(true, otherwise):
    if not true:
        raise Different(otherwise)


def expect_status(answer, *statuses):
    due = " or ".join(map(str, statuses))
    expect(answer.status in statuses, f"{due} was due, not {answer.status}: {answer.text}")
    return answer


class Story:
    """The steps, in order; each asserts, and returns one sentence on what was seen."""

    def __init__(self, folder):
        self.backends = Backends(folder / "backends")
        self.receiver = Receiver()
        self.product = Product(folder / "product", may_call=self.receiver.host)
        self.document = Document()
        self.files = folder / "files"
        self.alice = Customer(self.backends, ALICE, ALICES)
        self.bob = Customer(self.backends, BOB, BOBS)
        self.session = None
        self.secrets = {"doveadm's key": DOVEADM_KEY, "the key-encryption key": KEK, "Alice's password": ALICES,
                        "Bob's password": BOBS, "Alice's new password": NEW, "Dana's password": DANAS}

    def caller(self, name, secret):
        self.secrets[f"the key of {name}"] = secret
        return Caller(name, self.product.address, secret, self.document)

    def servers_start(self):
        self.backends.start()
        expect("OK" in imaplib.IMAP4("127.0.0.1", self.backends.imap).welcome.decode(), "Dovecot does not greet")
        return "Dovecot and Postfix run and know nobody yet."

    def operator_gets_the_first_key(self):
        code, secret, said = self.product.run("key", "create", "--bundle", "operator_admin", "--name", "First key")
        expect(code == 0 and secret.startswith("tnk_live_"), f"`key create` ended with {code}: {said}")
        self.product.serve()
        self.operator = self.caller("Operator", secret.strip())
        me = expect_status(self.operator.get("/v1/me"), 200)
        expect(me["account"]["type"] == "operator", f"the key is not the operator's: {me.text}")
        return "`key create` printed one key, `serve` took it, and it is the operator's."

    def operator_registers_servers(self):
        mail = expect_status(self.operator.post("/v1/servers", self.backends.server()), 201)
        expect(mail["credentials"]["set"] and DOVEADM_KEY not in mail.text, f"the credentials come back: {mail.text}")
        dns = {"name": "dns1", "connector": "files",
               "settings": {"root": str(self.files), "ns": ["ns1.hosting.test", "ns2.hosting.test"]}}
        dns = expect_status(self.operator.post("/v1/servers", dns), 201)
        for server in (mail, dns):
            test = expect_status(self.operator.post(f"/v1/servers/{server['id']}/test", wait=25), 200)
            expect(test["operation"]["status"] == "succeeded", f"the test of {server['name']} failed: {test.text}")
        self.mail_id, self.dns_id = mail["id"], dns["id"]
        return "A mail server and a folder for zones are registered, and both passed their test."

    def operator_makes_a_plan(self):
        on = (("mail", self.mail_id), ("dns", self.dns_id))
        placement = [{"service_type": kind, "server_id": server} for kind, server in on]
        shared = {"name": "Shared", "placement": placement}
        placed = expect_status(self.operator.post("/v1/virtual_servers", shared), 201)
        quotas = [{"key": "mail.domains", "included": 1}, {"key": "mail.mailboxes", "per_unit": 1},
                  {"key": "mail.storage_mb", "per_unit": 50}, {"key": "dns.zones", "included": 1},
                  {"key": "dns.records", "included": 20}]
        terms = {"virtual_server_id": placed["id"], "services": [{"type": "mail"}, {"type": "dns"}], "quotas": quotas}
        plan = self.operator.post("/v1/plans", {"code": "hosted-mail", "name": "Hosted mail", "terms": terms})
        expect(expect_status(plan, 201)["status"] == "active", f"the plan is not on sale: {plan.text}")
        return "The plan hosted-mail is on sale: one mailbox of 50 MB for each unit, a domain and its zone."

    def operator_opens_resellers(self):
        keys = []
        for name in ("Nordic Hosting", "Rival Hosting"):
            reseller = expect_status(self.operator.post("/v1/accounts", {"type": "reseller", "name": name}), 201)
            for bundle in ("crm", "billing_system"):
                key = {"account_id": reseller["id"], "name": bundle, "bundle": bundle}
                keys.append(expect_status(self.operator.post("/v1/keys", key), 201)["secret"])
        self.crm, self.billing = self.caller("CRM", keys[0]), self.caller("Billing", keys[1])
        self.rival = self.caller("Rival", keys[2])
        return "Two resellers have accounts, and each a key for its CRM and one for its billing."

    def crm_orders(self):
        tenant = expect_status(self.crm.post("/v1/accounts", {"type": "tenant", "name": "Acme GmbH"}), 201)
        self.order = {"account_id": tenant["id"], "items": [{"action": "add", "plan": "hosted-mail", "resources": [
            {"type": "domain", "spec": {"name": DOMAIN}},
            {"type": "zone", "spec": {"name": DOMAIN, "records": [{"name": "www", "type": "A", "data": "192.0.2.10"}]}},
            {"type": "mailbox", "spec": {"address": ALICE, "quota_mb": 50}, "password": ALICES},
        ]}]}
        order = expect_status(self.crm.post("/v1/orders", self.order, key="order-1", wait=25), 201)
        expect(order["status"] == "completed", f"the order is not completed: {order.text}")
        item = order["items"][0]
        self.order_id, self.subscription = order["id"], item["subscription_id"]
        listed = expect_status(self.crm.get("/v1/services"), 200)["data"]
        self.mail = next(service["id"] for service in listed if service["type"] == "mail")
        listed = expect_status(self.crm.get(f"/v1/services/{self.mail}/resources"), 200)["data"]
        self.alice_id = next(resource["id"] for resource in listed if resource["type"] == "mailbox")
        expect(ALICES not in str(listed) + order.text, "the password comes back")
        return "An order with a domain, its zone and Alice's mailbox was completed while curl waited."

    def crm_sends_it_again(self):
        again = expect_status(self.crm.post("/v1/orders", self.order, key="order-1", wait=25), 200, 201)
        expect(again["id"] == self.order_id, f"another order was placed: {again.text}")
        expect(again.headers.get("idempotency-replayed") == "true", f"it is not told as replayed: {again.headers}")
        expect(len(self.crm.get("/v1/orders")["data"]) == 1, "there are two orders")
        return "The same call again was answered as replayed with the same order, and there is one order."

    def rival_sees_nothing(self):
        for path in (f"/v1/orders/{self.order_id}", f"/v1/resources/{self.alice_id}"):
            expect_status(self.rival.get(path), 404)
        expect(self.rival.get("/v1/services")["data"] == [], "the rival sees services")
        return "The other reseller's key finds neither the order nor the mailbox."

    def customer_is_told_how_to_connect(self):
        told = expect_status(self.crm.get(f"/v1/services/{self.mail}/connection"), 200)
        imap = next(endpoint for endpoint in told["endpoints"] if endpoint["protocol"] == "imap")
        expect((imap["port"], imap["username"]) == (self.backends.imap, ALICE), f"another mailbox is told: {imap}")
        expect({"name": f"{DOMAIN}.", "type": "MX", "data": "10 mx.hosting.test."} in told["dns_records"], told.text)
        return "The connection names the real IMAP port, Alice's name and the MX record."

    def zone_is_written(self):
        expect(self.served() == [f"www.{DOMAIN}. 3600 IN A 192.0.2.10"], f"the zone serves {self.served()}")
        return "The zone file has www with its address."

    def served(self):
        """What the zone's file has beside SOA and NS."""
        lines = (self.files / "dns/zones" / f"{DOMAIN}.zone").read_text().splitlines()
        return [line for line in lines if not line.startswith(";") and " SOA " not in line and " NS " not in line]

    def mail_arrives(self):
        refused = send(self.backends, ALICE, "Welcome")
        expect(refused is None, f"Postfix refused it: {refused}")
        eventually("the message arrives", lambda: self.alice.subjects() or None)
        expect(self.alice.subjects() == ["Welcome"], f"the inbox has {self.alice.subjects()}")
        return "A message sent by SMTP is the one message in the inbox that Alice opens by IMAP."

    def wrong_password_is_refused(self):
        said = self.alice.refusal("wrong-horse-1")
        expect("AUTHENTICATIONFAILED" in said, f"another reason is told: {said}")
        return f"A wrong password is refused: {said}"

    def second_mailbox_needs_room(self):
        mailbox = {"type": "mailbox", "spec": {"address": BOB, "quota_mb": 25}, "password": BOBS}
        path = f"/v1/services/{self.mail}/resources"
        full = expect_status(self.crm.post(path, mailbox, wait=25), 409)
        expect(full["code"] == "quota_exceeded", f"another problem is told: {full.text}")
        expect("mail.mailboxes" in [short["key"] for short in full["violations"]], f"no mailboxes: {full.text}")
        expect(full["remedies"], f"no remedy is told: {full.text}")
        remedy = full["remedies"][0]
        expect_status(self.crm.call(remedy["method"], remedy["path"], remedy["body"], wait=25), 200, 201)
        expect_status(self.crm.post(path, mailbox, wait=25), 200, 201)
        expect(self.bob.subjects() == [], "Bob's new mailbox is not empty")
        return f"A second mailbox was refused for want of quota; after the remedy ({remedy['title']}) Bob logs in."

    def billing_wants_webhooks(self):
        endpoint = {"url": f"http://{self.receiver.host}/hooks", "event_types": sorted(set(HOOKED))}
        made = expect_status(self.billing.post("/v1/webhook_endpoints", endpoint), 201)
        self.hook_secret = self.secrets["the webhooks' secret"] = made["secret"]
        again = expect_status(self.billing.get(f"/v1/webhook_endpoints/{made['id']}"), 200)
        expect(made["secret"] not in again.text, "the secret is told a second time")
        return "Billing has a webhook endpoint, whose secret was shown once."

    def billing_suspends(self):
        self.session = self.alice.open()
        hold = {"reason_code": "payment.overdue", "reason": "Invoice 4711 is overdue"}
        outcome = expect_status(self.billing.post(f"/v1/subscriptions/{self.subscription}/suspend", hold, wait=25), 200)
        expect((outcome["changed"], outcome["access"]) == (True, "suspended"), f"it is not suspended: {outcome.text}")
        said = self.alice.refusal()
        expect("[CONTACTADMIN] Account suspended" in said, f"another reason is told: {said}")
        return f"Billing suspended for payment, and the login is refused: {said}"

    def open_session_has_ended(self):
        session, self.session = self.session, None
        try:
            session.noop()
        except (imaplib.IMAP4.abort, OSError):
            return "The IMAP session that was open has ended."
        raise Different("the IMAP session goes on while suspended")

    def sender_keeps_the_mail(self):
        refused = send(self.backends, ALICE, "While suspended")
        expect(refused and refused[0] == 450 and "Mailbox suspended" in refused[1], f"450 was due, not {refused}")
        expect(self.served() == [], f"the zone still serves {self.served()}")
        return f"The sender is told to come again and keeps the mail ({refused[0]} {refused[1]}); the zone is silent."

    def abuse_outlasts_payment(self):
        path = f"/v1/subscriptions/{self.subscription}"
        hold = {"reason_code": "abuse.spam", "reason": "A spam run of 4000 messages"}
        expect_status(self.operator.post(f"{path}/suspend", hold, wait=25), 200)
        lifted = expect_status(self.billing.post(f"{path}/resume", {"reason_code": "payment"}, wait=25), 200)
        kept = [hold["reason_class"] for hold in lifted["remaining_holds"]]
        expect((lifted["access"], kept) == ("suspended", ["abuse"]), f"abuse does not hold it: {lifted.text}")
        expect_status(self.billing.post(f"{path}/resume", {"reason_code": "abuse"}, wait=25), 403)
        said = self.alice.refusal()
        expect("[CONTACTADMIN] Account suspended" in said, f"another reason is told: {said}")
        return "Paid, it stays suspended: remaining_holds says abuse, billing may not lift that, the login is refused."

    def everything_is_back(self):
        path = f"/v1/subscriptions/{self.subscription}/resume"
        lifted = expect_status(self.operator.post(path, {"reason_code": "abuse"}, wait=25), 200)
        expect((lifted["access"], lifted["remaining_holds"]) == ("full", []), f"it is still held: {lifted.text}")
        expect(self.alice.subjects() == ["Welcome"], f"the inbox has {self.alice.subjects()}")
        refused = send(self.backends, ALICE, "While suspended")
        expect(refused is None, f"Postfix refused it: {refused}")
        eventually("the kept message arrives", lambda: self.alice.subjects()[1:] or None)
        expect(self.alice.subjects() == ["Welcome", "While suspended"], f"the inbox has {self.alice.subjects()}")
        expect(self.served(), "the zone is still silent")
        return "With abuse lifted the login works, the same mail is there, the kept mail arrived, the zone answers."

    def webhooks_are_signed(self):
        events = eventually("the webhooks arrive", lambda: self.webhooks(len(HOOKED)))
        for headers, body in self.receiver.got:
            expect(well_signed(self.hook_secret, headers, body), f"wrongly signed: {headers} {body}")
        headers, body = self.receiver.got[0]
        expect(not well_signed(self.hook_secret, headers, body + b" "), "another body has the same signature")
        types = sorted(event["type"] for event in events.values())
        expect(types == HOOKED, f"the webhooks are {types}")
        return f"{len(types)} webhooks came, each with a signature that fits its body."

    def webhooks(self, number):
        """The events that came by webhook, once there are so many; one may come twice, under one identifier."""
        events = {headers["webhook-id"]: json.loads(body) for headers, body in self.receiver.got}
        return events if len(events) >= number else None

    def subscription_ends_and_is_renewed(self):
        path = f"/v1/subscriptions/{self.subscription}"
        over = expect_status(self.billing.post(f"{path}/cancel", {"when": "now"}, wait=25), 200)
        expect((over["status"], over["access"]) == ("cancelled", "suspended"), f"it has not ended: {over.text}")
        said = self.alice.refusal()
        expect("[CONTACTADMIN] Account suspended" in said, f"another reason is told: {said}")
        kept = expect_status(self.operator.post(f"{path}/resume", {}, wait=25), 200)
        expect([hold["reason_code"] for hold in kept["remaining_holds"]] == ["ended.cancelled"], f"resumed: {kept.text}")
        expect_status(self.billing.post(f"{path}/renew", {}, wait=25), 200)
        expect(len(self.alice.subjects()) == 2, f"the inbox has {self.alice.subjects()}")
        return "Cancelled, nobody's resume gives the login back; renewed, it opens the same inbox."

    def password_is_changed(self):
        path = f"/v1/resources/{self.alice_id}"
        changed = expect_status(self.crm.post(f"{path}/set_password", {"password": NEW}, wait=25), 200)
        etag = self.crm.get(path).headers["etag"]
        expect(changed.headers["etag"] == etag, f"the answer's ETag is {changed.headers['etag']}, the mailbox's {etag}")
        said = self.alice.refusal()
        expect("AUTHENTICATIONFAILED" in said, f"another reason is told: {said}")
        self.alice.password = NEW
        expect(len(self.alice.subjects()) == 2, f"the inbox has {self.alice.subjects()}")
        return "After set_password the old password is refused, and the new one opens the same inbox."

    def mailbox_is_deleted(self):
        expect_status(self.crm.call("DELETE", f"/v1/resources/{self.alice_id}", wait=25), 200)
        said = self.alice.refusal()
        expect("AUTHENTICATIONFAILED" in said, f"another reason is told: {said}")
        refused = send(self.backends, ALICE, "Too late")
        expect(refused is not None and refused[0] == 550, f"550 was due, not {refused}")
        expect(self.bob.subjects() == [], "Bob cannot log in any more")
        return f"The deleted mailbox takes no login and no mail ({refused[0]} {refused[1]}); Bob's goes on."

    def feed_tells_it_in_order(self):
        types, after, text = [], "", ""
        while (part := expect_status(self.crm.get(f"/v1/events?limit=10{after}"), 200))["data"]:
            types += [event["type"] for event in part["data"]]
            text += part.text
            after = f"&after={part['next_after']}"
        # What is told beside, some time after what it is of.
        beside = ("operation.", "quota.threshold")
        seen = [kind for kind in types if not kind.startswith(beside)]
        expect(seen == TOLD, f"the feed says\n{' '.join(seen)}\nand not\n{' '.join(TOLD)}")
        self.silent("the feed", text)
        return f"The feed, read ten at a time, has all {len(types)} events in order and no secret."

    def visitor_signs_up(self):
        shop = {"account_id": self.crm.get("/v1/me")["account"]["id"], "name": "shop",
                "origins": ["https://shop.example"], "signups_per_hour": 10}
        key = expect_status(self.operator.post("/v1/storefront_keys", shop), 201)["key"]
        page = Caller("Page", self.product.address, key, self.document, origin="https://shop.example")
        # Somebody else's address: for half a minute Postfix remembers what it refused.
        refused = send(self.backends, f"info@{NEWCOMERS}", "Too early")
        expect(refused is not None, "Postfix takes mail for a domain that nobody has")
        asked = {"account": {"name": "Newcomer Ltd"}, "administrator": {"name": "Dana", "email": "dana@elsewhere.example"},
                 "domain": NEWCOMERS, "plan": "hosted-mail"}
        waits = expect_status(page.post("/v1/signups", asked), 201)
        expect(waits["awaits"] == ["email_verification"], f"something else is awaited: {waits.text}")
        expect_status(page.get("/v1/signups"), 403)
        told = expect_status(self.crm.get("/v1/signups"), 200)["data"]
        expect([signup["id"] for signup in told] == [waits["id"]], f"the seller sees {told}")
        token = expect_status(self.crm.post(f"/v1/signups/{waits['id']}/verification_token"), 201)["token"]
        self.secrets["the sign-up's token"] = token
        expect_status(page.post(f"/v1/signups/{waits['id']}/verify", {"token": token[::-1]}), 422)
        done = expect_status(page.post(f"/v1/signups/{waits['id']}/verify", {"token": token}), 202)
        expect((done["status"], done["opened_account_id"]) == ("accepted", None), f"not accepted, or told more: {done.text}")
        done = expect_status(self.crm.get(f"/v1/signups/{waits['id']}"), 200)
        ended = expect_status(self.crm.get(f"/v1/operations/{done['operation_id']}?wait=25"), 200)
        expect(ended["status"] == "succeeded", f"it was not made: {ended.text}")
        listed = expect_status(self.crm.get("/v1/services"), 200)["data"]
        mail = next(it["id"] for it in listed if (it["type"], it["account_id"]) == ("mail", done["opened_account_id"]))
        mailbox = {"type": "mailbox", "spec": {"address": DANA, "quota_mb": 25}, "password": DANAS}
        expect_status(self.crm.post(f"/v1/services/{mail}/resources", mailbox, wait=25), 200, 201)
        refused = send(self.backends, DANA, "Welcome")
        expect(refused is None, f"Postfix takes no mail for the new customer: {refused}")
        dana = Customer(self.backends, DANA, DANAS)
        eventually("the message arrives", lambda: dana.subjects() or None)
        return "A visitor signed up in the shop's page and verified the address; Dana logs in and has mail on the new domain."

    def silent(self, what, text):
        told = [name for name, secret in self.secrets.items() if secret in text]
        expect(not told, f"{what} tells {', '.join(told)}")

    def doctor_is_content(self):
        code, said, faults = self.product.run("doctor")
        expect(code == 0, f"`doctor` ended with {code}: {said}{faults}")
        for server in ("mail1", "dns1"):
            expect(server in said, f"`doctor` does not name {server}: {said}")
        self.silent("`doctor`", said + faults)
        return "`doctor` ended with 0 and names both servers."

    def config_and_log_keep_secrets(self):
        code, said, faults = self.product.run("config", "check")
        expect(code == 0 and 'kek = "***"' in said, f"`config check` ended with {code}: {said}{faults}")
        self.silent("`config check`", said + faults)
        log = self.product.said()
        expect("serving" in log, f"the log has not even its first line: {log}")
        self.silent("the log", log)
        return "`config check` shows *** for the key-encryption key, and the server's log has no secret either."

    def server_ends_in_order(self):
        code = self.product.stop()
        expect(code == 0, f"`serve` ended with {code} after SIGTERM:\n{self.product.said()}")
        return "`serve` ended with 0 after SIGTERM."

    def servers_stop(self):
        self.backends.stop()
        return "Dovecot and Postfix have stopped."

    def clear(self):
        """Stops what runs, whatever came before."""
        for stop in (self.product.stop, self.backends.stop, self.receiver.stop):
            try:
                stop()
            except (Different, OSError, subprocess.SubprocessError) as left:
                print(f"stopping: {left}", file=sys.stderr)


STEPS = (
    Story.servers_start,
    Story.operator_gets_the_first_key,
    Story.operator_registers_servers,
    Story.operator_makes_a_plan,
    Story.operator_opens_resellers,
    Story.crm_orders,
    Story.crm_sends_it_again,
    Story.rival_sees_nothing,
    Story.customer_is_told_how_to_connect,
    Story.zone_is_written,
    Story.mail_arrives,
    Story.wrong_password_is_refused,
    Story.second_mailbox_needs_room,
    Story.billing_wants_webhooks,
    Story.billing_suspends,
    Story.open_session_has_ended,
    Story.sender_keeps_the_mail,
    Story.abuse_outlasts_payment,
    Story.everything_is_back,
    Story.webhooks_are_signed,
    Story.subscription_ends_and_is_renewed,
    Story.password_is_changed,
    Story.mailbox_is_deleted,
    Story.feed_tells_it_in_order,
    Story.visitor_signs_up,
    Story.doctor_is_content,
    Story.config_and_log_keep_secrets,
    Story.server_ends_in_order,
    Story.servers_stop,
)


def tell(story):
    """Every step until one is different; how many passed and how many failed."""
    for passed, step in enumerate(STEPS):
        began = time.monotonic()
        try:
            seen = step(story)
        except Exception as different:
            # A step ends by Different; whatever else comes out of one is told with its place.
            told = str(different) if isinstance(different, Different) else traceback.format_exc()
            last = story.product.said().splitlines()[-15:]
            print("\n".join([f"FAILED {step.__name__}: {told}", *(["The server said last:", *last] if last else [])]))
            return passed, 1
        print(f"{passed + 1:3}. {seen} [{time.monotonic() - began:.1f} s]", flush=True)
    return len(STEPS), 0


def main():
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit("the story was ended"))
    with tempfile.TemporaryDirectory(prefix="tenantry-outsider-", ignore_cleanup_errors=True) as folder:
        # Dovecot's and Postfix' own users pass through it.
        Path(folder).chmod(0o711)
        try:
            story = Story(Path(folder))
        except Different as missing:
            sys.exit(str(missing))
        try:
            passed, failed = tell(story)
        finally:
            story.clear()
    print(f"{passed} passed, {failed} failed")
    return failed


if __name__ == "__main__":
    sys.exit(main())
