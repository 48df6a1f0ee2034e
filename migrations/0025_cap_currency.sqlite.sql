-- In which currency a key's orders are counted: what was counted in one says nothing about another.
ALTER TABLE key_spending ADD COLUMN currency TEXT;

UPDATE key_spending SET currency = (SELECT k.spend_cap ->> 'currency' FROM api_keys k WHERE k.id = key_id);
