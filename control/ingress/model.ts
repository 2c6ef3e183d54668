// What goes into the compile of Ingresses, and the plan that comes out.
import type { EndpointSlice, KubeKinds, Service } from '../kube/kinds.ts';

export type Ingress = KubeKinds['Ingress'];
export type IngressClass = KubeKinds['IngressClass'];
export type Secret = KubeKinds['Secret'];

/** `spec.controller` of the IngressClasses that this controller serves. */
export const CONTROLLER = 'kubetun.io/ingress-controller';

export interface IngressObjects {
  ingresses: readonly Ingress[];
  classes: readonly IngressClass[];
  services: readonly Service[];
  slices: readonly EndpointSlice[];
  secrets: readonly Secret[];
}

/** A Service port by number or name. */
export interface BackendRef {
  namespace: string;
  name: string;
  port: number | string;
}

export interface CompileOptions {
  /** `spec.controller` of its classes. The default is {@link CONTROLLER}. */
  controller?: string;
  /** Serves what no rule and no default backend of an Ingress matches. The default is 404. */
  defaultBackend?: BackendRef | null;
  /** `NAMESPACE/NAME` of the Secret for clients without SNI, or with an unknown one. */
  defaultCertificate?: string | null;
}

/** Ids in place of a backend. Ids of backends contain `_`, so none is equal to these. */
export const NOT_FOUND = 'not-found';
export const UNAVAILABLE = 'unavailable';

/** The place in an Ingress that a route comes from. */
export interface RouteSource {
  /** `NAMESPACE/NAME`. */
  ingress: string;
  /** Index in `spec.rules`. Null for the default backend. */
  rule: number | null;
  /** Index in `http.paths` of the rule. Null for the default backend. */
  path: number | null;
}

export interface Route {
  /** `www.example.test`, `*.example.test` (one label), or `*` for any host. Lower case. */
  host: string;
  /** Without percent encoding, and without a slash at the end of a prefix but `/`. */
  path: string;
  type: 'Exact' | 'Prefix';
  /** Id of a backend, {@link NOT_FOUND} or {@link UNAVAILABLE}. */
  backend: string;
  /** Null for a route that the controller adds: its own default backend, or 404. */
  from: RouteSource | null;
}

export interface Server {
  /** Stable: made of the address and the port. */
  name: string;
  /** An IPv4 address, or the DNS name of an ExternalName Service. */
  address: string;
  port: number;
}

/** What annotations can change. */
export interface Settings {
  /** Status of a redirect from http to https. Null for no redirect. */
  redirectCode: number | null;
  /** Clients that are allowed, as address/length. Null for all. */
  allowed: readonly string[] | null;
  /** Name of the cookie that keeps a client at one server. */
  cookie: string | null;
  /** In HAProxy's format, such as `30s`. Null for the default. */
  timeoutServer: string | null;
  timeoutTunnel: string | null;
  /** Largest request body. Null for no limit. */
  bodyBytesMax: number | null;
}

export interface Backend extends Settings {
  /** `NAMESPACE_SERVICE_PORT`, and a hash of the settings unless they are the defaults. */
  id: string;
  /** `NAMESPACE/NAME` of the Service. */
  service: string;
  /** Number of the Service port. */
  port: number;
  protocol: 'http' | 'h2c';
  /** Its one server is found by DNS: the Service is of type ExternalName. */
  isExternal: boolean;
  /** Sorted by address and port. Empty: 503. */
  servers: Server[];
}

export interface Certificate {
  /** `NAMESPACE/NAME` of the Secret. */
  secret: string;
  /** Names in SNI, sorted. Empty: those that the certificate itself contains. */
  hosts: string[];
  isDefault: boolean;
  /** Certificate chain and key. */
  pem: string;
}

/** A part of an Ingress that is not served, for an event. */
export interface Problem {
  /** `NAMESPACE/NAME`. */
  ingress: string;
  /** One word in CamelCase. */
  reason: string;
  /** Field, value, what was expected, next step. */
  message: string;
}

export interface Plan {
  /** By precedence: the first one that matches a request serves it. */
  routes: Route[];
  /** Sorted by id. */
  backends: Backend[];
  /** Sorted by Secret. */
  certificates: Certificate[];
  problems: Problem[];
  /** `NAMESPACE/NAME` of each Ingress of this controller, sorted. They get a status. */
  served: string[];
}
