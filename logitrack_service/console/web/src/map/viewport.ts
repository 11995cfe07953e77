/** What part of the map is visible, and how gestures change it. Units are those of the outlines. */

export interface Viewport {
  x: number;
  y: number;
  width: number;
  height: number;
}

export const CITY: Viewport = { x: 500, y: 520, width: 7_800, height: 7_760 };
export const MANHATTAN: Viewport = { x: 3_500, y: 1_150, width: 2_200, height: 3_500 };
const MAX_ZOOM = 14;

/** Returns a viewport zoomed by a factor; the point (x, y) of the map stays where it is. */
export function zoomed(view: Viewport, factor: number, x: number, y: number): Viewport {
  const width = Math.min(Math.max(view.width / factor, CITY.width / MAX_ZOOM), CITY.width);
  const scale = width / view.width;
  return within({
    x: x - (x - view.x) * scale,
    y: y - (y - view.y) * scale,
    width,
    height: view.height * scale,
  });
}

export function panned(view: Viewport, dx: number, dy: number): Viewport {
  return within({ ...view, x: view.x + dx, y: view.y + dy });
}

/** Returns a viewport whose middle lies in the city. */
function within(view: Viewport): Viewport {
  const clamp = (start: number, size: number, low: number, whole: number) =>
    Math.min(Math.max(start + size / 2, low), low + whole) - size / 2;
  return {
    ...view,
    x: clamp(view.x, view.width, CITY.x, CITY.width),
    y: clamp(view.y, view.height, CITY.y, CITY.height),
  };
}
