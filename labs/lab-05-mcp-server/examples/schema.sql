-- Meridian Freight's orders database, as the labs about tools and MCP find it.
-- Money is in cents of the row's currency. Times are UTC.

CREATE TABLE customers (
    customer_id   text PRIMARY KEY,              -- C-1042
    name          text NOT NULL,                 -- unique among customers
    country       text NOT NULL,                 -- ISO 3166, two letters
    currency      text NOT NULL,                 -- ISO 4217; of all of the customer's invoices
    UNIQUE (name)
);

CREATE TABLE users (
    user_id       text PRIMARY KEY,              -- u-7f3a91
    customer_id   text REFERENCES customers,     -- NULL for Meridian's own clerks
    name          text NOT NULL,
    role          text NOT NULL CHECK (role IN ('viewer', 'booker', 'clerk'))
);

CREATE TABLE shipments (
    shipment_id   text PRIMARY KEY,              -- MF-204417
    customer_id   text NOT NULL REFERENCES customers,
    origin        text NOT NULL,                 -- a port's code, as in ports
    destination   text NOT NULL,
    status        text NOT NULL CHECK (status IN ('booked', 'in_transit', 'customs_hold', 'delivered', 'cancelled')),
    weight_kg     integer NOT NULL CHECK (weight_kg > 0),
    goods         text NOT NULL,
    eta           date NOT NULL,
    note          text NOT NULL DEFAULT ''       -- free text by whoever booked it: nobody has checked it
);
CREATE INDEX ON shipments (customer_id, status);

CREATE TABLE ports (
    code          text PRIMARY KEY,              -- NLRTM
    name          text NOT NULL                  -- Rotterdam
);

CREATE TABLE shipment_events (
    event_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    shipment_id   text NOT NULL REFERENCES shipments,
    at            timestamptz NOT NULL,
    kind          text NOT NULL,                 -- departed, arrived, scanned, held, released, delivered
    place         text NOT NULL,                 -- a port's code
    remark        text NOT NULL DEFAULT ''
);
CREATE INDEX ON shipment_events (shipment_id, at);

CREATE TABLE invoices (
    invoice_id    text PRIMARY KEY,              -- INV-88120
    shipment_id   text NOT NULL REFERENCES shipments,
    customer_id   text NOT NULL REFERENCES customers,
    amount_cents  bigint NOT NULL CHECK (amount_cents > 0),
    currency      text NOT NULL,
    status        text NOT NULL CHECK (status IN ('open', 'paid', 'disputed')),
    due           date NOT NULL
);
CREATE INDEX ON invoices (customer_id, status);

-- What somebody did: the tables below are empty at the start.

CREATE TABLE pickups (
    pickup_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    shipment_id   text NOT NULL REFERENCES shipments,
    pickup_date   date NOT NULL,
    time_window   text NOT NULL CHECK (time_window IN ('morning', 'afternoon')),
    booked_by     text NOT NULL REFERENCES users,
    created_at    timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE credits (
    credit_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    invoice_id    text NOT NULL REFERENCES invoices,
    amount_cents  bigint NOT NULL CHECK (amount_cents > 0),
    reason        text NOT NULL,
    issued_by     text NOT NULL REFERENCES users,
    created_at    timestamptz NOT NULL DEFAULT now()
);
