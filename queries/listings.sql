-- Which photos exist: one row a photo, as product_id (an integer, a UUID or another text), position (a whole number,
-- the lowest for a listing's first photo), and image_url, or key: the name of an object in the bucket. Adapt the tables
-- to yours and keep the columns. :as_of is source.as_of, a UTC timestamp or null.
WITH listed AS (
    SELECT product_id, image
    FROM products_catalog
    WHERE CAST(:as_of AS timestamptz) IS NULL OR date <= CAST(:as_of AS timestamptz)
)
SELECT product_id, 0 AS position, image AS image_url
FROM listed
UNION ALL
SELECT photo.product_id, photo.position, photo.image AS image_url
FROM products_photos AS photo
JOIN listed USING (product_id)
