// IPv4 addresses as signed int32 in host order, as every table of the datapath holds them.

/** `10.0.0.1` from an int32. */
export function formatAddress(address: number): string {
  const a = address >>> 0;
  return `${a >>> 24}.${(a >>> 16) & 255}.${(a >>> 8) & 255}.${a & 255}`;
}

/** An int32 from dotted decimal, or null: four numbers of 0 to 255 without leading zeros, nothing else. */
export function parseAddress(text: string): number | null {
  const parts = text.split('.');
  if (parts.length !== 4) return null;
  let address = 0;
  for (const part of parts) {
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return null;
    address = (address << 8) | Number(part);
  }
  return address | 0;
}

/** The netmask of a prefix length, as int32. */
export function maskOf(prefix: number): number {
  return prefix === 0 ? 0 : (-1 << (32 - prefix)) | 0;
}

/** `{address, mask}` from `10.0.0.0/8`, host bits cleared; null if it is no range. */
export function parseRange(text: string): { address: number; mask: number } | null {
  const [base, prefix, ...rest] = text.split('/');
  const address = parseAddress(base ?? '');
  if (address === null || rest.length > 0 || !/^\d{1,2}$/.test(prefix ?? '')) return null;
  if (Number(prefix) > 32) return null;
  const mask = maskOf(Number(prefix));
  return { address: (address & mask) | 0, mask };
}

/** `10.0.0.0/8` from `{address, mask}`. */
export function formatRange({ address, mask }: { address: number; mask: number }): string {
  return `${formatAddress(address)}/${Math.clz32(~mask)}`;
}
