-- A role of PostgreSQL that can read what queries/*.sql read, and nothing else. Adapt tables and columns to your
-- queries. An administrator of the database runs it once, and sets the password, which psql encrypts before it sends it:
--   psql "$ADMIN_URL" --set=ON_ERROR_STOP=1 --single-transaction --file=access/postgresql.sql
--   psql "$ADMIN_URL" --command='\password imageset'
-- docs/security.md says what is left to such a role.
CREATE ROLE imageset LOGIN CONNECTION LIMIT 5 NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOREPLICATION NOBYPASSRLS;

-- Defaults of its sessions. The role may change them, for good as well; the rights below it may not.
ALTER ROLE imageset SET default_transaction_read_only = on;
ALTER ROLE imageset SET statement_timeout = '1h';
ALTER ROLE imageset SET idle_in_transaction_session_timeout = '1h';

GRANT CONNECT ON DATABASE :"DBNAME" TO imageset;
GRANT USAGE ON SCHEMA public TO imageset;
GRANT SELECT (product_id, image, date) ON products_catalog TO imageset;
GRANT SELECT (product_id, position, image) ON products_photos TO imageset;
GRANT SELECT (product_id, catalog_id, date) ON tracking_staging TO imageset;
GRANT SELECT (catalog_id, title, parent_id) ON catalogs TO imageset;
