import { type UseQueryResult, useMutation } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { api, unwrap } from "../../api/client";
import { clock, count, day, minutes, monthsBetween, percent, signed } from "../../format";
import { zoneName } from "../../map/zones";
import { Loaded } from "../../ui/Loaded";
import { ErrorNotice, Notice } from "../../ui/Notice";
import { type PlannedRide, type Prediction, useExplanation } from "./queries";

const OLD_MODEL_MONTHS = 12;
const MIN_SHOWN_CORRECTION = 0.5; // minutes
const MIN_SHOWN_PART = 0.05; // minutes
const MIN_SUPPORT = 5; // fewer training trips between two zones: the model extrapolates

interface Props {
  ride: PlannedRide;
  prediction: UseQueryResult<Prediction, Error>;
}

/** The answer: minutes, interval, arrival, and how far it can be trusted. */
export function PredictionCard({ ride, prediction }: Props) {
  return (
    <section className="card prediction" aria-label="Prediction" aria-live="polite">
      <Loaded query={prediction} height={150}>
        {(found) => (
          <>
            <p className="hint">
              {zoneName(ride.from ?? 0)} → {zoneName(ride.to ?? 0)}, {day(found.pickup_at)} at {clock(found.pickup_at)}
            </p>
            <p className="answer">
              <strong>{minutes(found.estimated_duration_minutes)}</strong>
              <span>
                arrival <b>{clock(found.arrival_at)}</b>
              </span>
            </p>
            <IntervalBar prediction={found} />
            {Math.abs(found.live_correction_minutes) >= MIN_SHOWN_CORRECTION && (
              <p>
                {found.live_correction_minutes > 0 ? "Slower" : "Faster"} than usual: the latest rides change the
                model's {minutes(found.base_duration_minutes)} by {signed(found.live_correction_minutes)}.
              </p>
            )}
            <Reliability prediction={found} />
            <Explanation key={`why ${found.prediction_id}`} predictionId={found.prediction_id} />
            <OutcomeForm key={found.prediction_id} predictionId={found.prediction_id} />
          </>
        )}
      </Loaded>
    </section>
  );
}

function IntervalBar({ prediction }: { prediction: Prediction }) {
  const { low_minutes: low, high_minutes: high, level } = prediction.interval;
  const end = high * 1.15;
  const place = (value: number) => `${(value / end) * 100}%`;
  return (
    <div className="interval">
      <div className="interval-bar" aria-hidden="true">
        <i style={{ left: place(low), right: `${100 - (high / end) * 100}%` }} />
        <b style={{ left: place(prediction.estimated_duration_minutes) }} />
      </div>
      <p>
        {percent(level)} of such rides take{" "}
        <b>
          {Math.round(low)} to {Math.round(high)} minutes
        </b>
        .
      </p>
    </div>
  );
}

function Reliability({ prediction }: { prediction: Prediction }) {
  const { support, extrapolating, trained_through: trainedThrough, pickup_at: pickupAt } = prediction;
  const age = monthsBetween(trainedThrough, pickupAt.slice(0, 7));
  return (
    <>
      {age > OLD_MODEL_MONTHS && (
        <Notice tone="warning">
          The model was trained through {trainedThrough}, {age} months before this ride. Traffic may have changed since.
        </Notice>
      )}
      {extrapolating && support < MIN_SUPPORT && (
        <Notice tone="warning">There are too few past trips between these zones: this is an extrapolation.</Notice>
      )}
      {extrapolating && support >= MIN_SUPPORT && age <= OLD_MODEL_MONTHS && (
        <Notice tone="warning">The model has seen no comparable trips: this is an extrapolation.</Notice>
      )}
      <p className="hint">
        {count(support)} training trips between these zones · {prediction.fleet} fleet ·{" "}
        {prediction.distance_miles === null ? "without a distance" : `${prediction.distance_miles.toFixed(1)} miles`} ·
        model {prediction.model_version}
      </p>
    </>
  );
}

const PARTS = {
  route: "Route",
  time: "Hour and weekday",
  recent_traffic: "Recent traffic",
  distance: "Planned distance",
  live_correction: "Latest rides",
} as const;

/** What the minutes are made of, in the order in which the parts add up. */
function Explanation({ predictionId }: { predictionId: string }) {
  const [open, setOpen] = useState(false);
  const explanation = useExplanation(predictionId, open);
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>Why this long?</summary>
      {open && (
        <Loaded query={explanation} height={90}>
          {({ contributions, estimated_duration_minutes: total }) =>
            contributions === null ? (
              <p className="hint">The version that answered is no longer at hand.</p>
            ) : (
              <table className="parts-of-answer">
                <tbody>
                  {(Object.entries(PARTS) as [keyof typeof PARTS, string][])
                    .filter(([part]) => part === "route" || Math.abs(contributions[part]) >= MIN_SHOWN_PART)
                    .map(([part, name]) => (
                      <tr key={part}>
                        <th scope="row">{name}</th>
                        <td className="number">
                          {part === "route" ? `${contributions[part].toFixed(1)} min` : signed(contributions[part])}
                        </td>
                      </tr>
                    ))}
                  <tr>
                    <th scope="row">Estimate</th>
                    <td className="number">
                      <b>{total.toFixed(1)} min</b>
                    </td>
                  </tr>
                </tbody>
              </table>
            )
          }
        </Loaded>
      )}
    </details>
  );
}

/** Reports how long the ride really took. */
function OutcomeForm({ predictionId }: { predictionId: string }) {
  const [open, setOpen] = useState(false);
  const report = useMutation({
    mutationFn: (duration: number) =>
      unwrap(api.POST("/outcomes", { body: { prediction_id: predictionId, duration_minutes: duration } })),
  });
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    report.mutate(Number(new FormData(event.currentTarget).get("duration")));
  };
  if (report.isSuccess) return <Notice>Thank you: the real duration is recorded.</Notice>;
  if (!open) {
    return (
      <button type="button" className="link" onClick={() => setOpen(true)}>
        Report the real duration
      </button>
    );
  }
  return (
    <form className="outcome" onSubmit={submit}>
      <div className="field">
        <label htmlFor="duration">It took, in minutes</label>
        <input
          id="duration"
          name="duration"
          type="number"
          min={0.1}
          max={1440}
          step={0.1}
          required
          inputMode="decimal"
        />
      </div>
      <button type="submit" className="primary" disabled={report.isPending}>
        Report
      </button>
      {report.isError && <ErrorNotice error={report.error} />}
    </form>
  );
}
