import { useMemo } from "react";
import { count, minutes } from "../../format";
import { Legend } from "../../map/Legend";
import { quantileScale } from "../../map/scale";
import { ZoneMap } from "../../map/ZoneMap";
import { FIRST_ZONE, LAST_ZONE, zoneName } from "../../map/zones";
import { SignIn } from "../../session/SignIn";
import { useAccount } from "../../session/session";
import { Empty, ErrorNotice } from "../../ui/Notice";
import { choice, integer, useUrlState } from "../../url";
import { DepartureCard } from "./DepartureCard";
import { PredictionCard } from "./PredictionCard";
import { type PlannedRide, usePrediction, useReach } from "./queries";
import { RideForm } from "./RideForm";

/** Plan a ride between two zones: how long, when to leave, and how long it really took. */
export function Ride() {
  const [parameters, change] = useUrlState();
  const account = useAccount();
  const signedIn = Boolean(account.data);
  const ride = rideOf(parameters);
  const reach = useReach(ride, signedIn);
  const prediction = usePrediction(ride, signedIn);
  const scale = useMemo(() => quantileScale([...(reach.data?.minutes.values() ?? [])]), [reach.data]);
  const classOf = useMemo(
    () => (zone: number) => (reach.data && ride.from !== null ? scale.classOf(reach.data.minutes.get(zone)) : "none"),
    [reach.data, ride.from, scale],
  );
  const pick = (zone: number) => {
    if (ride.from === null || (ride.from !== null && ride.to !== null)) change({ from: zone, to: null });
    else change({ to: zone });
  };
  const title = ride.from === null ? "Taxi zones of New York" : `Minutes from ${zoneName(ride.from)} to every zone`;
  return (
    <div className="ride">
      <div className="ride-panel">
        <h1 className="visually-hidden">Plan a ride</h1>
        <RideForm ride={ride} change={change} />
        {account.data === null && (
          <SignIn reason="Predictions are kept per account, so that real durations can be reported." />
        )}
        {account.isError && <ErrorNotice error={account.error} retry={() => account.refetch()} />}
        {signedIn && (ride.from === null || ride.to === null) && (
          <Empty>
            {ride.from === null
              ? "Choose where the ride begins: click a zone on the map or type its name."
              : "Now choose where it ends. The map shows how long each ride takes."}
          </Empty>
        )}
        {signedIn && ride.from !== null && ride.to !== null && (
          <>
            <PredictionCard ride={ride} prediction={prediction} />
            <DepartureCard ride={ride} parameters={parameters} change={change} />
          </>
        )}
      </div>
      <div className="ride-map">
        <ZoneMap
          label={`${title}. Choose zones in the fields "From" and "To" by keyboard.`}
          classOf={classOf}
          from={ride.from}
          to={ride.to}
          onPick={pick}
          describe={({ zone }) => {
            const time = reach.data?.minutes.get(zone);
            if (time === undefined || ride.from === null)
              return [ride.from === null ? "Click: begin here" : ""].filter(Boolean);
            const support = reach.data?.support.get(zone) ?? 0;
            return [`${minutes(time)} from ${zoneName(ride.from)}`, `${count(support)} training trips`];
          }}
        />
        {ride.from !== null && reach.data && (
          <Legend
            scale={scale}
            title={`Minutes from ${zoneName(ride.from)}`}
            format={(value) => String(Math.round(value))}
          />
        )}
      </div>
    </div>
  );
}

function rideOf(parameters: URLSearchParams): PlannedRide {
  const at = parameters.get("at") ?? "";
  const miles = Number(parameters.get("miles") ?? "");
  const fleet = choice(parameters, "fleet", ["any", "yellow", "green"]);
  return {
    from: integer(parameters, "from", FIRST_ZONE, LAST_ZONE),
    to: integer(parameters, "to", FIRST_ZONE, LAST_ZONE),
    at: /^\d{4}-\d\d-\d\dT\d\d:\d\d$/.test(at) ? at : null,
    miles: miles > 0 && miles <= 200 ? miles : null,
    fleet: fleet === "any" ? null : fleet,
  };
}
