import { newYorkTime } from "../../format";
import { ZoneField } from "../../ui/ZoneField";
import type { PlannedRide } from "./queries";

interface Props {
  ride: PlannedRide;
  change: (changes: Record<string, string | number | null>) => void;
}

/** Where, when, how far and by which fleet. */
export function RideForm({ ride, change }: Props) {
  return (
    <form className="card ride-form" onSubmit={(event) => event.preventDefault()}>
      <div className="ride-ends">
        <ZoneField label="From" zone={ride.from} onChange={(zone) => change({ from: zone })} />
        <ZoneField label="To" zone={ride.to} onChange={(zone) => change({ to: zone })} />
        <button
          type="button"
          className="icon swap"
          aria-label="Swap from and to"
          title="Swap from and to"
          disabled={ride.from === null || ride.to === null}
          onClick={() => change({ from: ride.to, to: ride.from })}
        >
          ⇅
        </button>
      </div>
      <div className="field-row">
        <div className="field wide">
          <label htmlFor="at">Pickup, New York time{ride.at === null && " (empty: now)"}</label>
          <input
            id="at"
            type="datetime-local"
            value={ride.at ?? ""}
            onChange={(event) => change({ at: event.currentTarget.value || null })}
          />
        </div>
        <button
          type="button"
          className="quiet"
          onClick={() => change({ at: ride.at === null ? newYorkTime(new Date()) : null })}
        >
          {ride.at === null ? "Set a time" : "Now"}
        </button>
      </div>
      <div className="field-row">
        <div className="field">
          <label htmlFor="miles">Planned miles (optional)</label>
          <input
            id="miles"
            type="number"
            min={0.1}
            max={200}
            step={0.1}
            inputMode="decimal"
            value={ride.miles ?? ""}
            onChange={(event) => change({ miles: event.currentTarget.value || null })}
          />
        </div>
        <div className="field">
          <label htmlFor="fleet">Fleet</label>
          <select
            id="fleet"
            value={ride.fleet ?? "any"}
            onChange={(event) => change({ fleet: event.currentTarget.value })}
          >
            <option value="any">Most trips</option>
            <option value="yellow">Yellow cabs</option>
            <option value="green">Green cabs</option>
          </select>
        </div>
      </div>
    </form>
  );
}
