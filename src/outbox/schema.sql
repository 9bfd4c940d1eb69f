-- The tables of an outbox, version 1. All times are Unix milliseconds.

-- One row: the version of these tables, and the sums. accepted = delivered + pending + dead, always:
-- triggers keep them, whoever writes. What has been pruned stays counted.
CREATE TABLE webhook_outbox (
    version   INTEGER NOT NULL,
    accepted  INTEGER NOT NULL DEFAULT 0,
    delivered INTEGER NOT NULL DEFAULT 0,
    pending   INTEGER NOT NULL DEFAULT 0,
    dead      INTEGER NOT NULL DEFAULT 0,
    -- When the rate next allows an attempt, in Unix microseconds.
    next_slot INTEGER NOT NULL DEFAULT 0
);
INSERT INTO webhook_outbox (version) VALUES (1);

CREATE TABLE webhook_message (
    seq         INTEGER PRIMARY KEY,            -- in the order in which they were accepted
    id          TEXT    NOT NULL UNIQUE,        -- webhook-id
    type        TEXT    NOT NULL,               -- ce-type
    source      TEXT    NOT NULL,               -- ce-source; with the subject, the resource: its messages go out in order
    subject     TEXT    NOT NULL,               -- ce-subject, empty where there is none
    time        TEXT,                           -- ce-time
    accepted_at INTEGER NOT NULL,
    state       TEXT    NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'dead')),
    attempts    INTEGER NOT NULL DEFAULT 0,     -- made so far
    failures    INTEGER NOT NULL DEFAULT 0,     -- of these, failed since it was accepted or last redelivered by hand
    is_first    INTEGER NOT NULL,               -- whether it is its resource's turn
    due_at      INTEGER,                        -- pending: no attempt before; while claimed: when the claim ends
    claimed_by  TEXT,                           -- the worker that is delivering it
    settled_at  INTEGER,                        -- when it became delivered or dead
    last_error  TEXT,                           -- why the last attempt failed
    body        TEXT    NOT NULL                -- what is sent, byte for byte
);

-- The messages of a resource, in order.
CREATE INDEX webhook_message_resource ON webhook_message (source, subject, seq) WHERE state = 'pending';
-- Whose turn it is, by when.
CREATE INDEX webhook_message_due ON webhook_message (due_at) WHERE is_first = 1;
-- The dead letters.
CREATE INDEX webhook_message_dead ON webhook_message (settled_at) WHERE state = 'dead';

CREATE TABLE webhook_attempt (
    seq         INTEGER PRIMARY KEY,
    message     INTEGER NOT NULL REFERENCES webhook_message (seq),
    number      INTEGER NOT NULL,               -- 1 is the message's first
    at          INTEGER NOT NULL,               -- when it began
    duration_ms INTEGER NOT NULL,
    status      INTEGER,                        -- of the receiver's answer, if there was one
    error       TEXT,                           -- why it failed; null is success
    answer      TEXT                            -- the first KiB of the answer, or the name of the task that a queue took
);
CREATE INDEX webhook_attempt_message ON webhook_attempt (message);

CREATE TRIGGER webhook_message_accepted AFTER INSERT ON webhook_message BEGIN
    UPDATE webhook_outbox SET accepted = accepted + 1, pending = pending + 1;
END;
CREATE TRIGGER webhook_message_settled AFTER UPDATE OF state ON webhook_message WHEN OLD.state <> NEW.state BEGIN
    UPDATE webhook_outbox SET
        delivered = delivered - (OLD.state = 'delivered') + (NEW.state = 'delivered'),
        pending   = pending   - (OLD.state = 'pending')   + (NEW.state = 'pending'),
        dead      = dead      - (OLD.state = 'dead')      + (NEW.state = 'dead');
END;
CREATE TRIGGER webhook_message_owed BEFORE DELETE ON webhook_message WHEN OLD.state = 'pending' BEGIN
    SELECT RAISE(ABORT, 'a pending message is still owed to its receiver');
END;
