import { useState } from "react";
import { useAccount, useSessionControl } from "./session";

type Theme = "auto" | "light" | "dark";

const THEME_KEY = "logitrack-theme";
const NEXT: Record<Theme, Theme> = { auto: "light", light: "dark", dark: "auto" };
const SYMBOLS: Record<Theme, string> = { auto: "◐", light: "☀", dark: "☾" };

function applyTheme(theme: Theme) {
  document.documentElement.dataset.theme = theme;
}

const kept = localStorage.getItem(THEME_KEY);
const initial: Theme = kept === "light" || kept === "dark" ? kept : "auto";
applyTheme(initial);

/** The right end of the bar: documentation, colours, and who is signed in. */
export function AccountMenu() {
  const account = useAccount().data;
  const { signOut } = useSessionControl();
  const [theme, setTheme] = useState(initial);
  const change = () => {
    const next = NEXT[theme];
    localStorage.setItem(THEME_KEY, next);
    applyTheme(next);
    setTheme(next);
  };
  return (
    <div className="account">
      <a href="/docs">API</a>
      <button
        type="button"
        className="icon"
        onClick={change}
        aria-label={`Colours: ${theme}`}
        title={`Colours: ${theme}`}
      >
        {SYMBOLS[theme]}
      </button>
      {account && (
        <>
          <span className="who" title={`Role: ${account.role}`}>
            {account.username}
          </span>
          <button type="button" className="quiet" onClick={() => signOut()}>
            Sign out
          </button>
        </>
      )}
    </div>
  );
}
