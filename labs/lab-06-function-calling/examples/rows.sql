-- A handful of rows for the tables of schema.sql, to try things on. The grader generates a whole company instead.
INSERT INTO customers VALUES
    ('C-1042', 'Aster Foods', 'NL', 'EUR'),
    ('C-2210', 'Calder Machines', 'GB', 'GBP');
INSERT INTO users VALUES
    ('u-viewer', 'C-1042', 'Ana Castro', 'viewer'),
    ('u-booker', 'C-1042', 'Boris Ito', 'booker'),
    ('u-other', 'C-2210', 'Dana Novak', 'booker'),
    ('u-clerk', NULL, 'Emeka Brandt', 'clerk');
INSERT INTO ports VALUES ('NLRTM', 'Rotterdam'), ('SGSIN', 'Singapore');
INSERT INTO shipments VALUES
    ('MF-204417', 'C-1042', 'NLRTM', 'SGSIN', 'booked', 740, 'coffee', '2026-12-01', 'ref 1'),
    ('MF-204418', 'C-1042', 'SGSIN', 'NLRTM', 'in_transit', 1200, 'ceramics', '2026-11-20', ''),
    ('MF-771902', 'C-2210', 'NLRTM', 'SGSIN', 'booked', 9100, 'machine parts', '2026-12-04', 'ref 9');
INSERT INTO shipment_events (shipment_id, at, kind, place, remark) VALUES
    ('MF-204418', '2026-10-20 08:15+00', 'departed', 'SGSIN', 'gate 4'),
    ('MF-204418', '2026-10-22 17:40+00', 'scanned', 'SGSIN', '');
INSERT INTO invoices VALUES
    ('INV-88120', 'MF-204418', 'C-1042', 38400, 'EUR', 'open', '2026-12-01'),
    ('INV-90011', 'MF-771902', 'C-2210', 120000, 'GBP', 'open', '2026-12-11');
