import { lazy, type ReactNode, Suspense, useEffect } from "react";
import { Link, Route, Switch, useLocation } from "wouter";
import { AccountMenu } from "./session/AccountMenu";
import { hasRole, useAccount } from "./session/session";
import { Empty, Loading } from "./ui/Notice";
import { Ride } from "./views/ride/Ride";

const City = lazy(() => import("./views/city/City"));
const Query = lazy(() => import("./views/query/Query"));
const Model = lazy(() => import("./views/model/Model"));
const Pipeline = lazy(() => import("./views/pipeline/Pipeline"));
const People = lazy(() => import("./views/people/People"));

const VIEWS: { path: string; name: string; view: ReactNode; adminOnly?: boolean }[] = [
  { path: "/", name: "Ride", view: <Ride /> },
  { path: "/console/city", name: "City", view: <City /> },
  { path: "/console/query", name: "Query", view: <Query /> },
  { path: "/console/model", name: "Model", view: <Model /> },
  { path: "/console/pipeline", name: "Pipeline", view: <Pipeline /> },
  { path: "/console/people", name: "People", view: <People />, adminOnly: true },
];

export function App() {
  const [location] = useLocation();
  const account = useAccount().data;
  const current = VIEWS.find(({ path }) => path === location);
  useEffect(() => {
    document.title = `${current?.name ?? "Not found"} · logitrack`;
  }, [current]);
  return (
    <>
      <a className="skip" href="#content">
        Skip to the content
      </a>
      <header className="bar">
        <Link href="/" className="brand">
          <svg viewBox="0 0 32 32" aria-hidden="true">
            <rect width="32" height="32" rx="7" />
            <path d="M9 7v18h13" />
            <circle cx="22" cy="11" r="3.2" />
          </svg>
          logitrack
        </Link>
        <nav aria-label="Views">
          {VIEWS.filter(({ adminOnly }) => !adminOnly || hasRole(account, "admin")).map(({ path, name }) => (
            <Link key={path} href={path} aria-current={path === location ? "page" : undefined}>
              {name}
            </Link>
          ))}
        </nav>
        <AccountMenu />
      </header>
      <main id="content" tabIndex={-1}>
        <Suspense fallback={<Loading height={400} />}>
          <Switch>
            {VIEWS.map(({ path, view }) => (
              <Route key={path} path={path}>
                {view}
              </Route>
            ))}
            <Route>
              <div className="page">
                <h1>There is no such page</h1>
                <Empty>
                  Go to <Link href="/">Ride</Link>.
                </Empty>
              </div>
            </Route>
          </Switch>
        </Suspense>
      </main>
    </>
  );
}
