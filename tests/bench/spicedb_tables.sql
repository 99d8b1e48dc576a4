-- What SpiceDB 1.54 expects to find in PostgreSQL, for tests.bench.authz alone: its own way to make
-- these tables is a command of the server, which the embedded build leaves out.
CREATE TABLE metadata (unique_id varchar PRIMARY KEY);
INSERT INTO metadata VALUES (gen_random_uuid());
CREATE TABLE alembic_version (version_num varchar NOT NULL);
INSERT INTO alembic_version VALUES ('populate-schema-tables');

CREATE TABLE relation_tuple_transaction (
    xid xid8 PRIMARY KEY DEFAULT pg_current_xact_id(),
    snapshot pg_snapshot DEFAULT pg_current_snapshot(),
    timestamp timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'utc'),
    metadata jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX ON relation_tuple_transaction (timestamp);
CREATE INDEX ON relation_tuple_transaction (xid DESC, timestamp);
INSERT INTO relation_tuple_transaction (timestamp) VALUES (to_timestamp(0) AT TIME ZONE 'utc');

CREATE TABLE namespace_config (
    namespace varchar,
    serialized_config bytea NOT NULL,
    created_xid xid8 DEFAULT pg_current_xact_id(),
    deleted_xid xid8 DEFAULT '9223372036854775807',
    PRIMARY KEY (namespace, created_xid, deleted_xid),
    UNIQUE (namespace, deleted_xid)
);
CREATE TABLE caveat (
    name varchar,
    definition bytea NOT NULL,
    created_xid xid8 DEFAULT pg_current_xact_id(),
    deleted_xid xid8 DEFAULT '9223372036854775807',
    PRIMARY KEY (name, created_xid, deleted_xid),
    UNIQUE (name, deleted_xid)
);
CREATE TABLE relationship_counter (
    name varchar PRIMARY KEY,
    serialized_filter bytea NOT NULL,
    current_count bigint NOT NULL DEFAULT 0,
    updated_revision_snapshot pg_snapshot,
    created_xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    deleted_xid xid8 NOT NULL DEFAULT '9223372036854775807',
    UNIQUE (name, deleted_xid)
);
CREATE TABLE schema (
    name varchar,
    chunk_index integer,
    chunk_data bytea NOT NULL,
    created_xid xid8 DEFAULT pg_current_xact_id(),
    deleted_xid xid8 NOT NULL DEFAULT '9223372036854775807',
    PRIMARY KEY (name, chunk_index, created_xid)
);
CREATE TABLE schema_revision (
    name varchar DEFAULT 'current',
    hash bytea NOT NULL,
    created_xid xid8 DEFAULT pg_current_xact_id(),
    deleted_xid xid8 NOT NULL DEFAULT '9223372036854775807',
    PRIMARY KEY (name, created_xid)
);
CREATE TABLE relation_tuple (
    namespace varchar,
    object_id varchar,
    relation varchar,
    userset_namespace varchar,
    userset_object_id varchar,
    userset_relation varchar,
    created_xid xid8 DEFAULT pg_current_xact_id(),
    deleted_xid xid8 DEFAULT '9223372036854775807',
    caveat_name varchar,
    caveat_context jsonb,
    expiration timestamptz,
    PRIMARY KEY (
        namespace, object_id, relation,
        userset_namespace, userset_object_id, userset_relation, created_xid, deleted_xid
    ),
    UNIQUE (
        namespace, object_id, relation,
        userset_namespace, userset_object_id, userset_relation, deleted_xid
    )
);
CREATE INDEX ON relation_tuple (
    userset_object_id, userset_namespace, userset_relation, namespace, relation
);
CREATE INDEX ON relation_tuple (
    namespace, relation, userset_namespace, userset_object_id, userset_relation, object_id
) WHERE deleted_xid = '9223372036854775807';
CREATE INDEX ON relation_tuple (created_xid);
