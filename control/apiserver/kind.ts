// What a served kind is. verbs/kinds.ts has the table of all kinds.
import type { KubeObject } from '../kube/object.ts';
import type { FieldError, ResourceName } from './status.ts';

/** Where an object is: namespace '' for cluster-scoped kinds. */
export interface Place {
  namespace: string;
  name: string;
}

/** Reads the other objects of the cluster, by the plural name of their kind. */
export interface Lookup {
  get(plural: string, namespace: string, name: string): KubeObject | undefined;
  list(plural: string): KubeObject[];
}

export interface ServedKind extends ResourceName {
  version: string;
  apiVersion: string;
  namespaced: boolean;
  singular: string;
  shortNames: string[];
  categories: string[];
  /** Clients write `status` through its own path only. */
  hasStatus: boolean;
  /** Clients can read and write `spec.replicas` through the path `scale`. */
  hasScale: boolean;
  /** The format of names. */
  name: { test: (name: string) => boolean; hint: string };
  /** Fields that a field selector can name, besides metadata.name and metadata.namespace. */
  fields: Record<string, (object: KubeObject) => string>;
  /** Fills in absent fields, in place. */
  setDefaults: (object: KubeObject, old: KubeObject | undefined) => void;
  /** Checks rules across fields. The schema check comes before it. */
  validate: (object: KubeObject, old: KubeObject | undefined) => FieldError[];
  /**
   * Throws StatusError for a write that the other objects of the cluster do not allow. `old` is
   * undefined for a new object.
   */
  admit: (others: Lookup, object: KubeObject, name: string, old?: KubeObject) => void;
  /** True for Services alone: the allocator assigns their addresses and ports. */
  hasAddresses: boolean;
  /** Seconds between a request to delete an object and its end; 0 ends it at once. */
  graceS: (object: KubeObject) => number;
  /** Objects that the server refuses to delete. */
  protectedNames: string[];
  /** The status of a new object. */
  initialStatus: object | null;
}
