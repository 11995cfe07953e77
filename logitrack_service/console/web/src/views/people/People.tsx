import { instant } from "../../format";
import { RequireRole } from "../../session/RequireRole";
import { type Account, type Role, useAccount } from "../../session/session";
import { Loaded } from "../../ui/Loaded";
import { Empty, ErrorNotice } from "../../ui/Notice";
import { useUrlState } from "../../url";
import { useAccountChange, useAccounts, useAudit, useEndSession, useSessions } from "./queries";

const ROLES: readonly Role[] = ["user", "analyst", "admin"];

/** Accounts, their sessions, and what was done. */
export default function People() {
  return (
    <div className="page">
      <div className="page-head">
        <div>
          <h1>People</h1>
          <p>Accounts and roles, open sessions, and the audit.</p>
        </div>
      </div>
      <RequireRole needed="admin">
        <Accounts />
        <Audit />
      </RequireRole>
    </div>
  );
}

function Accounts() {
  const [parameters, change] = useUrlState();
  const chosen = parameters.get("account");
  const accounts = useAccounts();
  return (
    <section className="card" aria-labelledby="accounts">
      <h2 id="accounts">Accounts</h2>
      <Loaded query={accounts}>
        {({ pages }) => (
          // biome-ignore lint/a11y/noNoninteractiveTabindex: axe's rule scrollable-region-focusable asks for it
          <section className="table-scroll" tabIndex={0} aria-label="Table of accounts">
            <table>
              <thead>
                <tr>
                  <th scope="col">Username</th>
                  <th scope="col">Role</th>
                  <th scope="col" title="Whether outcomes of this account count for the live error">
                    Vouched for
                  </th>
                  <th scope="col">Since</th>
                  <th scope="col">Sessions</th>
                  <th scope="col">State</th>
                </tr>
              </thead>
              <tbody>
                {pages
                  .flatMap(({ rows }) => rows)
                  .map((account) => (
                    <AccountRow
                      key={account.username}
                      account={account}
                      chosen={account.username === chosen}
                      onChoose={() => change({ account: account.username === chosen ? null : account.username })}
                    />
                  ))}
              </tbody>
            </table>
          </section>
        )}
      </Loaded>
      {accounts.hasNextPage && (
        <button type="button" onClick={() => accounts.fetchNextPage()} disabled={accounts.isFetchingNextPage}>
          More accounts
        </button>
      )}
      {chosen && <Sessions key={chosen} username={chosen} />}
    </section>
  );
}

function AccountRow({ account, chosen, onChoose }: { account: Account; chosen: boolean; onChoose: () => void }) {
  const { username, role, vouched, disabled, created_at } = account;
  const update = useAccountChange(username);
  const pending = update.isPending ? update.variables : null;
  const isOwn = useAccount().data?.username === username;
  return (
    <>
      <tr>
        <td>{username}</td>
        <td>
          <select
            aria-label={`Role of ${username}`}
            value={pending && "role" in pending ? pending.role : role}
            disabled={isOwn}
            onChange={(event) => update.mutate({ role: event.currentTarget.value as Role })}
          >
            {ROLES.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </td>
        <td>
          <input
            type="checkbox"
            aria-label={`Vouch for ${username}`}
            checked={pending && "vouched" in pending ? pending.vouched : vouched}
            onChange={(event) => update.mutate({ vouched: event.currentTarget.checked })}
          />
        </td>
        <td>{instant(created_at)}</td>
        <td>
          <button type="button" className="link" aria-expanded={chosen} onClick={onChoose}>
            Show<span className="visually-hidden"> sessions of {username}</span>
          </button>
        </td>
        <td>
          <span className={disabled ? "badge bad" : "badge good"}>{disabled ? "disabled" : "active"}</span>{" "}
          {!isOwn && (
            <button
              type="button"
              className="link"
              disabled={update.isPending}
              onClick={() => update.mutate({ disabled: !disabled })}
            >
              {disabled ? "Enable" : "Disable"}
              <span className="visually-hidden"> {username}</span>
            </button>
          )}
        </td>
      </tr>
      {update.isError && (
        <tr>
          <td colSpan={6}>
            <ErrorNotice error={update.error} />
          </td>
        </tr>
      )}
    </>
  );
}

function Sessions({ username }: { username: string }) {
  const sessions = useSessions(username);
  const end = useEndSession(username);
  return (
    <section aria-label={`Sessions of ${username}`}>
      <h3>Sessions of {username}</h3>
      <Loaded query={sessions} height={60}>
        {(rows) =>
          rows.length === 0 ? (
            <Empty>{username} is signed in nowhere.</Empty>
          ) : (
            <ul className="saved">
              {rows.map(({ session_id, created_at, last_used_at, network, current }) => (
                <li key={session_id}>
                  <span>
                    {network ?? "unknown network"}, since {instant(created_at)}, last used {instant(last_used_at)}
                    {current && " (this one)"}
                  </span>
                  <button
                    type="button"
                    className="quiet"
                    disabled={end.isPending}
                    onClick={() => end.mutate(session_id)}
                  >
                    End
                  </button>
                </li>
              ))}
            </ul>
          )
        }
      </Loaded>
      {end.isError && <ErrorNotice error={end.error} />}
    </section>
  );
}

function Audit() {
  const audit = useAudit();
  return (
    <section className="card" aria-labelledby="audit">
      <h2 id="audit">Audit</h2>
      <Loaded query={audit}>
        {({ pages }) => (
          // biome-ignore lint/a11y/noNoninteractiveTabindex: axe's rule scrollable-region-focusable asks for it
          <section className="table-scroll" tabIndex={0} aria-label="Table of events">
            <table>
              <thead>
                <tr>
                  <th scope="col">When</th>
                  <th scope="col">Event</th>
                  <th scope="col">Account</th>
                  <th scope="col">Address</th>
                  <th scope="col">Detail</th>
                </tr>
              </thead>
              <tbody>
                {pages
                  .flatMap(({ rows }) => rows)
                  .map(({ event_id, at, event, username, address, detail }) => (
                    <tr key={event_id}>
                      <td>{instant(at)}</td>
                      <td>{event.replaceAll("_", " ")}</td>
                      <td>{username ?? "–"}</td>
                      <td>{address ?? "–"}</td>
                      <td className="detail" title={detail ? JSON.stringify(detail) : undefined}>
                        {detail ? JSON.stringify(detail) : "–"}
                      </td>
                    </tr>
                  ))}
              </tbody>
            </table>
          </section>
        )}
      </Loaded>
      {audit.hasNextPage && (
        <button type="button" onClick={() => audit.fetchNextPage()} disabled={audit.isFetchingNextPage}>
          Earlier events
        </button>
      )}
    </section>
  );
}
