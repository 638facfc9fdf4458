#!/bin/sh
# Creates the owner role, the application role and the database, as a superuser. Runs once, when PostgreSQL's volume is
# made; by hand anywhere else with PGHOST, PGUSER and PGPASSWORD set.
set -eu

psql --set ON_ERROR_STOP=1 --dbname postgres --username "${POSTGRES_USER:-postgres}" \
    --set owner_password="$DATABASE_OWNER_PASSWORD" --set application_password="$DATABASE_PASSWORD" <<'SQL'
-- The owner may bypass row-level security because search functions it owns run with its rights.
CREATE ROLE library_owner LOGIN NOSUPERUSER CREATEROLE CREATEDB BYPASSRLS PASSWORD :'owner_password';
-- The application is subject to it, and owns nothing.
CREATE ROLE library_app LOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB NOBYPASSRLS PASSWORD :'application_password';
CREATE DATABASE library OWNER library_owner;
SQL
