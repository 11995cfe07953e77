import type { ReactNode } from "react";
import { ErrorNotice, Loading, Notice } from "../ui/Notice";
import { SignIn } from "./SignIn";
import { hasRole, type Role, useAccount } from "./session";

/** Shows its children to accounts with a role; to others, how to get there. */
export function RequireRole({ needed = "user", children }: { needed?: Role; children: ReactNode }) {
  const account = useAccount();
  if (account.isError) return <ErrorNotice error={account.error} retry={() => account.refetch()} />;
  if (account.data === undefined) return <Loading />;
  if (account.data === null) return <SignIn reason="This view shows data of the service to its accounts." />;
  if (!hasRole(account.data, needed)) {
    return (
      <Notice tone="warning">
        This view needs the role {needed}; your account has the role {account.data.role}. An admin can change it.
      </Notice>
    );
  }
  return children;
}
