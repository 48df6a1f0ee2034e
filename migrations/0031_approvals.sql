-- What orders of the accounts below an account need.
ALTER TABLE accounts ADD COLUMN order_policy JSONB;
CREATE INDEX accounts_with_order_policy ON accounts (path) WHERE order_policy IS NOT NULL;

-- Who has to approve of an order and why, what was said, and until when it waits for that.
ALTER TABLE orders ADD COLUMN approval JSONB;
ALTER TABLE orders ADD COLUMN approval_due TIMESTAMPTZ;
CREATE INDEX orders_to_approve ON orders (path, id) WHERE status = 'pending_approval';
CREATE INDEX orders_approval_due ON orders (approval_due) WHERE status = 'pending_approval';
