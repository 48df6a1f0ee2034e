#!/bin/bash
# What an operator has set up before an integrator comes, at the server TENANTRY, with the operator's key OPERATOR_KEY:
# a server, plans and an add-on with prices, a reseller, and its keys. Prints the keys as variables for a shell.
# It is for an installation without anything in it yet; HOSTING is the folder in which mail and zones are written.
set -euo pipefail
: "${TENANTRY:?is to be the address of the server}" "${OPERATOR_KEY:?is to be a key of the bundle operator_admin}"

# send METHOD PATH BODY …: one call as the operator; its answer, or the end.
send() {
    answer=$(curl -sS --fail-with-body -X "$1" "$TENANTRY$2" -H "Authorization: Bearer $OPERATOR_KEY" \
        -H "Content-Type: application/json" -d "$3" "${@:4}") ||
        { echo "set-up: $1 $2 was refused: $answer" >&2; return 1; }
    echo "$answer"
}
make() { send POST "$@" | jq -er .id; }

server=$(make /v1/servers "$(jq -n --arg root "${HOSTING:-/tmp/tenantry-hosting}" '{
    name: "files1", connector: "files", settings: {
        root: $root, imap_host: "imap.hosting.example", smtp_host: "smtp.hosting.example", mx_host: "mx.hosting.example",
        ns: ["ns1.hosting.example", "ns2.hosting.example"]}}')")
send POST "/v1/servers/$server/test" '{}' -H "Prefer: wait=25" | jq -e '.operation.status == "succeeded"' > /dev/null
shared=$(make /v1/virtual_servers "$(jq -n --arg server "$server" '{name: "shared", placement: [
    {service_type: "mail", server_id: $server}, {service_type: "dns", server_id: $server}]}')")

# plan CODE NAME MAILBOXES TERMS: a plan that gives so many mailboxes for each unit.
plan() {
    make /v1/plans "$(jq -n --arg code "$1" --arg name "$2" --argjson mailboxes "$3" --argjson more "$4" \
        --arg shared "$shared" '{code: $code, name: $name, terms: ({
            virtual_server_id: $shared, services: [{type: "mail"}, {type: "dns"}],
            components: [{code: "seat", name: "Seat", billing: "per_seat"}],
            quotas: [{key: "mail.mailboxes", per_unit: $mailboxes}, {key: "mail.storage_mb", per_unit: (25600 * $mailboxes)},
                     {key: "mail.domains", included: 1}, {key: "dns.zones", included: 1}, {key: "dns.records", included: 50}]
        } + $more)}')"
}
mail=$(plan hosted-mail "Hosted mail" 1 '{}')
plus=$(plan hosted-mail-plus "Hosted mail plus" 2 '{}')
prepaid=$(plan hosted-mail-prepaid "Hosted mail, prepaid" 1 '{"lease": {"unit": "month", "count": 1}}')
trial=$(plan hosted-mail-trial "Hosted mail, two weeks free" 1 '{"trial": {"unit": "day", "count": 14}}')
pack=$(make /v1/addons '{"code": "five-mailboxes", "name": "Five more mailboxes", "terms": {
    "quotas": [{"key": "mail.mailboxes", "per_unit": 5}, {"key": "mail.storage_mb", "per_unit": 128000}],
    "components": [{"code": "pack", "name": "Pack of five", "billing": "per_seat"}]}}')

# What resellers pay.
list=$(make /v1/price_lists '{"name": "Resellers", "currency": "EUR"}')
price() {
    send PUT "/v1/price_lists/$list/prices/$1" "$(jq -n --arg code "$2" --argjson amount "$3" '{
        rule: {kind: "fixed", components: {($code): {tiers: [{from: 1, amount: $amount}]}}}}')" \
        -H "If-Match: *" > /dev/null
}
price "$mail" seat 500
price "$plus" seat 800
price "$prepaid" seat 550
price "$trial" seat 500
price "$pack" pack 2000

reseller=$(make /v1/accounts '{"type": "reseller", "name": "Nordic Hosting", "country": "DE", "currency": "EUR"}')
# key VARIABLE BODY: a key, as a line for a shell.
key() {
    secret=$(send POST /v1/keys "$2" | jq -er .secret)
    echo "export $1=$secret"
}
of_reseller() {
    jq -n --arg account "$reseller" --arg name "$1" --arg bundle "$2" '{account_id: $account, name: $name, bundle: $bundle}'
}
key BILLING_KEY "$(of_reseller Billing billing_system)"
key CRM_KEY "$(of_reseller CRM crm)"
key RESELLER_KEY "$(of_reseller Staff reseller_admin)"
key ABUSE_KEY '{"name": "Abuse desk", "hold_classes": ["abuse"], "scopes": ["services:read", "services:suspend", "services:resume"]}'
