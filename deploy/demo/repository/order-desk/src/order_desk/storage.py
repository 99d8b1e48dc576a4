"""Orders in PostgreSQL."""

import psycopg

from order_desk.orders import Line, Order, State

TABLES = """
create table if not exists orders (
    number text primary key,
    customer text not null,
    state text not null
);
create table if not exists order_lines (
    order_number text not null references orders (number),
    position int not null,
    article text not null,
    pieces int not null check (pieces > 0),
    unit_cents bigint not null check (unit_cents >= 0),
    primary key (order_number, position)
);
"""


class Orders:
    """Keeps orders; every call is one transaction."""

    def __init__(self, address: str) -> None:
        self._address = address

    def prepare(self) -> None:
        with psycopg.connect(self._address) as connection:
            connection.execute(TABLES)

    def save(self, order: Order) -> None:
        with psycopg.connect(self._address) as connection:
            connection.execute(
                "insert into orders values (%s, %s, %s)"
                " on conflict (number) do update set state = excluded.state",
                (order.number, order.customer, order.state),
            )
            connection.execute("delete from order_lines where order_number = %s", (order.number,))
            connection.cursor().executemany(
                "insert into order_lines values (%s, %s, %s, %s, %s)",
                [
                    (order.number, position, line.article, line.pieces, line.unit_cents)
                    for position, line in enumerate(order.lines)
                ],
            )

    def find(self, number: str) -> Order | None:
        with psycopg.connect(self._address) as connection:
            row = connection.execute(
                "select customer, state from orders where number = %s", (number,)
            ).fetchone()
            if row is None:
                return None
            lines = connection.execute(
                "select article, pieces, unit_cents from order_lines"
                " where order_number = %s order by position",
                (number,),
            ).fetchall()
        return Order(number, row[0], [Line(*line) for line in lines], State(row[1]))
