-- Sessions of browsers: a cookie that stands for a key. Only the SHA-256 of the cookie is stored.

CREATE TABLE sessions (
    id           text COLLATE "C" PRIMARY KEY CHECK (length(id) = 64),  -- SHA-256 of the cookie, hexadecimal
    key_id       text COLLATE "C" NOT NULL REFERENCES keys (id) ON DELETE CASCADE,
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL  -- moves on with use, never beyond the longest life of a session or that of its key
);
CREATE INDEX sessions_of_key ON sessions (key_id, last_used_at);
CREATE INDEX sessions_expired ON sessions (expires_at);

-- What signs the tokens for /ws, unless SLUICE_TOKEN_KEY does: the newest signs, and the one before is still taken.
CREATE TABLE token_keys (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    secret     bytea NOT NULL CHECK (length(secret) >= 32),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION rotate_token_key() RETURNS void LANGUAGE sql AS $$
    INSERT INTO token_keys (secret) VALUES (uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));
    DELETE FROM token_keys WHERE id NOT IN (SELECT id FROM token_keys ORDER BY id DESC LIMIT 2);
$$;
SELECT rotate_token_key();
