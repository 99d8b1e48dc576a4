-- The database, its three roles and nothing more. Run by a superuser with psql, as often as
-- wanted: by deploy/embedded on this machine, by deploy/postgres/roles.sh in a container.
-- The passwords come from the environment, so that no process list shows them.
\set ON_ERROR_STOP on
\getenv owner_password PORTAL_OWNER_PASSWORD
\getenv app_password PORTAL_APP_PASSWORD
\getenv auditor_password PORTAL_AUDITOR_PASSWORD

SELECT format('CREATE ROLE %I', wanted.name)
FROM (VALUES ('portal_owner'), ('portal_app'), ('portal_auditor')) AS wanted (name)
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted.name) \gexec

-- Row security does not hold for superusers and BYPASSRLS, so no role of ours has either.
ALTER ROLE portal_owner LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
  PASSWORD :'owner_password';
ALTER ROLE portal_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
  PASSWORD :'app_password';
ALTER ROLE portal_auditor LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
  PASSWORD :'auditor_password';
ALTER ROLE portal_auditor SET default_transaction_read_only = on;

SELECT 'CREATE DATABASE countersign OWNER portal_owner ENCODING ''UTF8'' TEMPLATE template0'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'countersign') \gexec

REVOKE ALL ON DATABASE postgres, template1, countersign FROM PUBLIC;
GRANT CONNECT ON DATABASE countersign TO portal_app, portal_auditor;

\connect countersign
-- The owner makes the cells' schemas as owner of the database; migrations need this one too.
ALTER SCHEMA public OWNER TO portal_owner;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO portal_app, portal_auditor;
CREATE EXTENSION IF NOT EXISTS vector SCHEMA public;
