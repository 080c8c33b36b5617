CREATE TABLE seen_recorded (
    origin TEXT NOT NULL,
    identity BYTEA NOT NULL,
    intake TEXT NOT NULL,
    PRIMARY KEY (origin, identity)
);
CREATE TABLE seen_refused (
    origin TEXT NOT NULL,
    identity BYTEA NOT NULL,
    intake TEXT NOT NULL,
    PRIMARY KEY (origin, identity, intake)
);
CREATE TABLE seen_passed (
    origin TEXT NOT NULL,
    intake TEXT NOT NULL,
    identity BYTEA NOT NULL,
    PRIMARY KEY (origin, intake, identity)
);
CREATE TABLE seen_latest (
    origin TEXT NOT NULL,
    pseudonym BYTEA NOT NULL,
    revision BIGINT NOT NULL,
    ballot BYTEA NOT NULL,
    PRIMARY KEY (origin, pseudonym)
);
ALTER TABLE seen_latest ALTER COLUMN ballot SET STORAGE EXTERNAL;
