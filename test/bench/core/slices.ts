/** Timed slices of a measurement. A test that only checks the rows uses few. */
export const SLICES = Number(process.env.KUBETUN_BENCH_SLICES ?? 40);
