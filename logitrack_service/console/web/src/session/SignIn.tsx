import { type FormEvent, useState } from "react";
import { ErrorNotice } from "../ui/Notice";
import { useSessionControl } from "./session";

const MIN_PASSWORD_LENGTH = 12;

/** The form that signs in, or creates an account and signs in with it. */
export function SignIn({ reason }: { reason: string }) {
  const { signIn, register } = useSessionControl();
  const [isNew, setNew] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Error | null>(null);
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const fields = new FormData(event.currentTarget);
    const credentials = { username: String(fields.get("username")), password: String(fields.get("password")) };
    setBusy(true);
    setError(null);
    try {
      await (isNew ? register(credentials) : signIn(credentials));
    } catch (reason) {
      setError(reason as Error);
      setBusy(false);
    }
  };
  return (
    <form className="card sign-in" onSubmit={submit}>
      <h2>{isNew ? "Create an account" : "Sign in"}</h2>
      <p className="hint">{reason}</p>
      <div className="field">
        <label htmlFor="username">Username</label>
        <input id="username" name="username" autoComplete="username" required minLength={3} maxLength={64} />
      </div>
      <div className="field">
        <label htmlFor="password">Password</label>
        <input
          id="password"
          name="password"
          type="password"
          autoComplete={isNew ? "new-password" : "current-password"}
          required
          minLength={isNew ? MIN_PASSWORD_LENGTH : 1}
          maxLength={128}
          aria-describedby={isNew ? "password-hint" : undefined}
        />
        {isNew && (
          <p className="hint" id="password-hint">
            {MIN_PASSWORD_LENGTH} characters or more; a few words are fine.
          </p>
        )}
      </div>
      {error && <ErrorNotice error={error} />}
      <button type="submit" className="primary" disabled={busy}>
        {isNew ? "Create account" : "Sign in"}
      </button>
      <p className="hint">
        {isNew ? "You have an account? " : "New here? "}
        <button
          type="button"
          className="link"
          onClick={() => {
            setNew(!isNew);
            setError(null);
          }}
        >
          {isNew ? "Sign in" : "Create an account"}
        </button>
      </p>
    </form>
  );
}
