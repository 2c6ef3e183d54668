// Fields whose names users choose: `constructor` is not one until it was set, and `__proto__` is
// one like any other.

/** The value of an own field. */
export function own<T>(fields: Record<string, T> | undefined, key: string): T | undefined {
  return fields && Object.hasOwn(fields, key) ? fields[key] : undefined;
}

/** Sets an own field, also where its name is `__proto__`. */
export function setOwn<T>(fields: Record<string, T>, key: string, value: T): void {
  if (key !== '__proto__') fields[key] = value;
  else {
    const descriptor = { value, writable: true, enumerable: true, configurable: true };
    Object.defineProperty(fields, key, descriptor);
  }
}
