"""Verifies deliveries with the libraries that integrators in Python use, as they are published: the counterpart of
verify.mjs, which says what goes in and comes out."""

import json
import sys

import standardwebhooks
import svix.webhooks

LIBRARIES = {"PyPI standardwebhooks": standardwebhooks, "PyPI svix": svix.webhooks}


def taken(library, delivery):
    try:
        library.Webhook(delivery["secret"]).verify(delivery["body"].encode(), delivery["headers"])
        return True
    except library.WebhookVerificationError:
        return False


told = [{name: taken(library, delivery) for name, library in LIBRARIES.items()} for delivery in json.load(sys.stdin)]
json.dump(told, sys.stdout)
