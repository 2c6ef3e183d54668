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
}

export interface ServedKind extends ResourceName {
  version: string;
  apiVersion: string;
  namespaced: boolean;
  singular: string;
  shortNames: string[];
  categories: string[];
  /** `status` is written by its own path alone. */
  hasStatus: boolean;
  /** `spec.replicas` is read and written by the path `scale` as well. */
  hasScale: boolean;
  /** What its names look like. */
  name: { test: (name: string) => boolean; hint: string };
  /** Fields that a selector may name beside metadata.name and metadata.namespace. */
  fields: Record<string, (object: KubeObject) => string>;
  /** Fills in what was left out. May change its argument, which nobody else has seen. */
  setDefaults: (object: KubeObject, old: KubeObject | undefined) => void;
  /** Rules across fields; types are checked before. */
  validate: (object: KubeObject, old: KubeObject | undefined) => FieldError[];
  /** Throws StatusError for a new object that the other objects of the cluster do not allow. */
  admit: (others: Lookup, object: KubeObject, name: string) => void;
  /** The allocator gives its objects addresses and ports: they are Services. */
  hasAddresses: boolean;
  /** Seconds between a request to delete an object and its end; 0 ends it at once. */
  graceS: (object: KubeObject) => number;
  /** Objects that a cluster cannot be without: nobody may delete them. */
  protectedNames: string[];
  /** Objects whose status begins so. */
  initialStatus: object | null;
}
