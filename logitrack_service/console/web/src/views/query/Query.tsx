import { type FormEvent, lazy, Suspense, useMemo, useState } from "react";
import { RequireRole } from "../../session/RequireRole";
import { useAccount } from "../../session/session";
import { Loaded } from "../../ui/Loaded";
import { Empty, ErrorNotice, Loading } from "../../ui/Notice";
import { choice, useUrlState } from "../../url";
import { useResult, useSavedQueries, useSchema } from "./queries";
import { DISPLAYS, type Display, ResultFigure } from "./ResultFigure";

const Editor = lazy(() => import("./Editor"));

const EXAMPLE = `select hour, sum(trips) as trips, sum(avg_duration_minutes * trips) / sum(trips) as avg_duration_minutes
from hours
where weekday <= 5
group by hour
order by hour`;
const NO_SCHEMA: Record<string, string[]> = {};

/** Ask the city a question in SQL. */
export default function Query() {
  return (
    <div className="page">
      <div className="page-head">
        <div>
          <h1>Query</h1>
          <p>Read-only SQL on the documented views, with limits of time and rows.</p>
        </div>
      </div>
      <RequireRole needed="analyst">
        <Workbench />
      </RequireRole>
    </div>
  );
}

function Workbench() {
  const [parameters, change] = useUrlState();
  const asked = parameters.get("sql") ?? "";
  const display = choice(parameters, "show", Object.keys(DISPLAYS) as [Display, ...Display[]]);
  const [text, setText] = useState(asked || EXAMPLE);
  // A statement in a link is shown, not run: each one is recorded under the account that runs it.
  const [ran, setRan] = useState<ReadonlySet<string>>(new Set());
  const result = useResult(asked, ran.has(asked));
  const schema = useSchema();
  const completions = useMemo(
    () =>
      schema.data
        ? Object.fromEntries(schema.data.map(({ view, columns }) => [view, columns.map(({ name }) => name)]))
        : NO_SCHEMA,
    [schema.data],
  );
  const run = () => {
    const sql = text.trim().replace(/;$/, "");
    if (sql === "") return;
    setRan(new Set([...ran, sql]));
    if (sql !== asked) change({ sql });
    else if (result.isError) result.refetch();
  };
  return (
    <div className="workbench">
      <aside className="card schema" aria-label="Views and columns">
        <h2>Views</h2>
        <Loaded query={schema}>
          {(views) => (
            <ul>
              {views.map(({ view, description, columns }) => (
                <li key={view}>
                  <details>
                    <summary>
                      <code>{view}</code>
                    </summary>
                    <p className="hint">{description}</p>
                    <dl>
                      {columns.map((column) => (
                        <div key={column.name}>
                          <dt>
                            <code>{column.name}</code> <small>{column.type}</small>
                          </dt>
                          <dd className="hint">{column.description}</dd>
                        </div>
                      ))}
                    </dl>
                    <button type="button" className="link" onClick={() => setText(`select * from ${view} limit 100`)}>
                      Show its rows
                    </button>
                  </details>
                </li>
              ))}
            </ul>
          )}
        </Loaded>
      </aside>
      <div className="workbench-main">
        <section className="card" aria-label="Statement">
          <Suspense fallback={<Loading height={160} />}>
            <Editor value={text} onChange={setText} onRun={run} schema={completions} />
          </Suspense>
          <div className="field-row">
            <button type="button" className="primary" onClick={run} disabled={result.isFetching}>
              {result.isFetching ? "Running…" : "Run"}
            </button>
            <span className="hint">Ctrl + Enter runs it.</span>
          </div>
          {result.isError && <ErrorNotice error={result.error} />}
        </section>
        {result.isFetching && <Loading height={240} />}
        {result.data && !result.isFetching && (
          <ResultFigure
            result={result.data}
            sql={asked}
            display={display}
            onDisplay={(value) => change({ show: value === "table" ? null : value })}
          />
        )}
        <SavedQueries sql={text} onOpen={setText} />
        <Connections />
      </div>
    </div>
  );
}

function SavedQueries({ sql, onOpen }: { sql: string; onOpen: (sql: string) => void }) {
  const { saved, save, remove } = useSavedQueries();
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = event.currentTarget;
    const name = String(new FormData(form).get("name")).trim();
    if (name) save.mutate({ name, sql }, { onSuccess: () => form.reset() });
  };
  return (
    <section className="card" aria-label="Saved queries">
      <h2>Saved queries</h2>
      <Loaded query={saved} height={60}>
        {(rows) =>
          rows.length === 0 ? (
            <Empty>Nothing is saved yet. Give the statement above a name.</Empty>
          ) : (
            <ul className="saved">
              {rows.map(({ name, sql: text }) => (
                <li key={name}>
                  <button type="button" className="link" onClick={() => onOpen(text)}>
                    {name}
                  </button>
                  <button type="button" className="quiet" onClick={() => remove.mutate(name)}>
                    Delete<span className="visually-hidden"> {name}</span>
                  </button>
                </li>
              ))}
            </ul>
          )
        }
      </Loaded>
      <form className="field-row" onSubmit={submit}>
        <div className="field">
          <label htmlFor="name">Name</label>
          <input id="name" name="name" required maxLength={80} />
        </div>
        <button type="submit" disabled={save.isPending}>
          Save
        </button>
      </form>
      {(save.error ?? remove.error) && <ErrorNotice error={(save.error ?? remove.error) as Error} />}
    </section>
  );
}

function Connections() {
  const name = useAccount().data?.username ?? "NAME";
  return (
    <details className="card">
      <summary>
        <h2>Connect your own tools</h2>
      </summary>
      <p>
        An admin gives you a read-only PostgreSQL address of your own, with <code>logitrack analyst-url {name}</code> or{" "}
        <code>POST /accounts/{name}/database-login</code>. It is <code>$URL</code> below; <code>docs/analysts.md</code>{" "}
        has the limits, and three questions with their answers.
      </p>
      <dl className="tools">
        <dt>psql</dt>
        <dd>
          <code>psql "$URL" -c 'select * from documentation'</code>
        </dd>
        <dt>pandas</dt>
        <dd>
          <code>pd.read_sql("select * from months", create_engine(url))</code>, with postgresql+psycopg:// in the
          address
        </dd>
        <dt>Metabase, Superset</dt>
        <dd>kind PostgreSQL; host, port, user and password of the address; only the schema analytics</dd>
        <dt>DuckDB</dt>
        <dd>
          <code>select count(*) from '.logitrack/lake/silver/month=*/*.parquet'</code>: whole trips, without a server
        </dd>
      </dl>
    </details>
  );
}
