-- Two roles: the owner migrates, the runtime role serves. Somebody who breaks into the service cannot
-- change the schema, nor take away what it may not take away.
-- Run once as a superuser, with database, owner_password and app_password \set: docs/deploy.md, step 2.
\set ON_ERROR_STOP on
CREATE ROLE reachscore_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE reachscore_app LOGIN PASSWORD :'app_password';
CREATE DATABASE :"database" OWNER reachscore_owner ENCODING 'UTF8' TEMPLATE template0;

\connect :database
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO reachscore_owner;
GRANT USAGE ON SCHEMA public TO reachscore_app;
-- For every table that a later migration makes, too.
ALTER DEFAULT PRIVILEGES FOR ROLE reachscore_owner IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO reachscore_app;
ALTER DEFAULT PRIVILEGES FOR ROLE reachscore_owner IN SCHEMA public
    GRANT USAGE, SELECT ON SEQUENCES TO reachscore_app;
-- What the service relies on in each session. It asks for the same itself when it connects, but not
-- through PgBouncer; /readyz warns of what differs.
ALTER ROLE reachscore_app SET default_transaction_isolation = 'read committed';
ALTER ROLE reachscore_app SET DateStyle = 'ISO, MDY';
ALTER ROLE reachscore_app SET IntervalStyle = 'postgres';
ALTER ROLE reachscore_app SET TimeZone = 'UTC';
ALTER ROLE reachscore_app SET standard_conforming_strings = on;
ALTER ROLE reachscore_app SET array_nulls = on;
ALTER ROLE reachscore_app SET extra_float_digits = 1;
ALTER ROLE reachscore_app SET synchronous_commit = on;
ALTER ROLE reachscore_app SET client_min_messages = 'notice';
