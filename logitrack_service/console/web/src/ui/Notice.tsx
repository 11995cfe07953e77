import type { ReactNode } from "react";
import { ApiError } from "../api/client";

type Tone = "info" | "warning" | "error";

export function Notice({ tone = "info", children }: { tone?: Tone; children: ReactNode }) {
  return (
    <div className={`notice ${tone}`} role={tone === "error" ? "alert" : "status"}>
      {children}
    </div>
  );
}

export function ErrorNotice({ error, retry }: { error: Error; retry?: () => void }) {
  const denied = error instanceof ApiError && error.status === 403;
  return (
    <Notice tone={denied ? "warning" : "error"}>
      {error.message}{" "}
      {retry && !denied && (
        <button type="button" className="link" onClick={retry}>
          Try again
        </button>
      )}
    </Notice>
  );
}

export function Empty({ children }: { children: ReactNode }) {
  return <p className="empty">{children}</p>;
}

export function Loading({ height = 200 }: { height?: number }) {
  return <div className="loading" style={{ height }} role="status" aria-label="Loading" />;
}
