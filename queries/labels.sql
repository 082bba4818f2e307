-- Which class each product was given, and when: all rows as they are, as product_id, catalog_id, date. A product may
-- have several rows; stage catalog decides. class_name in place of catalog_id names the class by itself, and
-- queries/classes.sql is not read. :as_of is source.as_of, a UTC timestamp or null.
SELECT product_id, catalog_id, date
FROM tracking_staging
WHERE CAST(:as_of AS timestamptz) IS NULL OR date <= CAST(:as_of AS timestamptz)
