declare module "virtual:zones" {
  export const outlines: {
    arcs: [number, number][][];
    shapes: [zone: number, polygons: number[][][]][];
    transform: { scale: [number, number]; translate: [number, number] };
  };
  export const names: [zone: number, name: string, borough: string][];
}
