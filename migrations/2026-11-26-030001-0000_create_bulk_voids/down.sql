DROP TABLE bulk_void_items;
DROP TABLE bulk_voids;
