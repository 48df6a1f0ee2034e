-- Answers that hold a secret, so that a rotation of the key-encryption key finds them among all the others.
CREATE INDEX replies_sealed ON replies (principal_id, subject_id, key) WHERE sealed;
