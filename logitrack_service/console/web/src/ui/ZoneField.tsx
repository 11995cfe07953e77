import { type KeyboardEvent, useId, useState } from "react";
import { findZones, zoneOf } from "../map/zones";

const MAX_OPTIONS = 8;

interface Props {
  label: string;
  zone: number | null;
  onChange: (zone: number | null) => void;
  placeholder?: string;
}

/** A field that finds a zone by name, borough or number (the combobox pattern of ARIA 1.2). */
export function ZoneField({ label, zone, onChange, placeholder = "Name, borough or number" }: Props) {
  const id = useId();
  const [text, setText] = useState<string | null>(null); // null: not being edited
  const [active, setActive] = useState(0);
  const options = text === null ? [] : findZones(text, MAX_OPTIONS);
  const chosen = zoneOf(zone);
  const choose = (index: number) => {
    const option = options[index];
    if (option) onChange(option.zone);
    setText(null);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : -1;
      if (text === null) setText("");
      else setActive((active + step + options.length) % Math.max(1, options.length));
    } else if (event.key === "Enter" && text !== null) {
      event.preventDefault();
      choose(active);
    } else if (event.key === "Escape") setText(null);
  };
  return (
    <div className="field zone-field">
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        role="combobox"
        aria-expanded={options.length > 0}
        aria-controls={`${id}-options`}
        aria-autocomplete="list"
        aria-activedescendant={options.length > 0 ? `${id}-${active}` : undefined}
        autoComplete="off"
        placeholder={placeholder}
        value={text ?? chosen?.name ?? ""}
        onFocus={(event) => event.currentTarget.select()}
        onChange={(event) => {
          setText(event.currentTarget.value);
          setActive(0);
        }}
        onKeyDown={onKeyDown}
        onBlur={() => {
          if (text === "") onChange(null);
          setText(null);
        }}
      />
      <div className="options" id={`${id}-options`} role="listbox" aria-label={label} hidden={options.length === 0}>
        {options.map((option, index) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: the input handles the keys
          <div
            key={option.zone}
            id={`${id}-${index}`}
            role="option"
            aria-selected={index === active}
            tabIndex={-1}
            onPointerDown={(event) => event.preventDefault()}
            onClick={() => choose(index)}
          >
            <span>{option.name}</span>
            <small>
              {option.borough} · {option.zone}
            </small>
          </div>
        ))}
      </div>
      {text !== null && text !== "" && options.length === 0 && <p className="hint">No zone has this name.</p>}
    </div>
  );
}
