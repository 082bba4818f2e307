-- The classes' names and their tree: one row a class, as catalog_id, name, parent_id (null at the top).
-- It is not read where queries/labels.sql returns class_name.
SELECT catalog_id, title AS name, parent_id
FROM catalogs
