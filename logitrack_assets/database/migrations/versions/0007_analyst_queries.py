"""Create the functions that limit analysts' queries inside PostgreSQL.

`run_prepared` runs only what its session has prepared before, so calling it inside a query gains nothing.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

FUNCTIONS = """
create function analytics.run_prepared(arguments text[], explain boolean, max_bytes integer) returns setof text
language plpgsql volatile as $$
declare
    statement text;
    line text;
    size bigint := 0;
begin
    select case when explain then 'explain (verbose) execute analyst_text' else 'execute analyst_lines' end
        || coalesce('(' || string_agg(quote_nullable(argument), ', ' order by place) || ')', '')
    into statement from unnest(arguments) with ordinality as a (argument, place);
    for line in execute statement loop
        size := size + octet_length(line) + 1;
        if size > max_bytes then
            raise exception using errcode = 'LTBIG', message = format('the result is larger than %s bytes', max_bytes);
        end if;
        return next line;
    end loop;
exception when others then -- a message can quote a value of any size
    raise exception using errcode = sqlstate, message = left(sqlerrm, 1000);
end $$;
comment on function analytics.run_prepared(text[], boolean, integer) is
    'Lines of this session''s prepared statement analyst_lines, or the plan of analyst_text.';
revoke execute on function analytics.run_prepared(text[], boolean, integer) from public;

create function analytics.csv_field(value text) returns text language sql immutable parallel safe as $$
    select case when value = '' or value ~ E'[",\\r\\n]' then '"' || replace(value, '"', '""') || '"' else value end
$$;
comment on function analytics.csv_field(text) is 'A field of CSV (RFC 4180): empty text is quoted, null stays null.';
"""


def upgrade() -> None:
    op.execute(FUNCTIONS)


def downgrade() -> None:
    op.execute("drop function analytics.run_prepared(text[], boolean, integer)")
    op.execute("drop function analytics.csv_field(text)")
