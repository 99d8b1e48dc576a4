#!/bin/sh
# Runs roles.sql when the database container starts with an empty volume.
set -eu
PORTAL_OWNER_PASSWORD=$(cat /run/secrets/owner_password)
PORTAL_APP_PASSWORD=$(cat /run/secrets/app_password)
PORTAL_AUDITOR_PASSWORD=$(cat /run/secrets/auditor_password)
export PORTAL_OWNER_PASSWORD PORTAL_APP_PASSWORD PORTAL_AUDITOR_PASSWORD
psql --no-psqlrc --quiet --username="$POSTGRES_USER" --dbname=postgres --file=/countersign/roles.sql
