// The verbs on objects: what happens between a request and the store.
import { randomBytes, randomUUID } from 'node:crypto';
import {
  isEqual,
  isObject,
  type KubeObject,
  lettersOf,
  type ObjectMeta,
  timestamp,
} from '../../kube/object.ts';
import { Allocator, type AllocatorRanges } from '../admit/allocator.ts';
import { type ApplyOptions, applyBody } from '../apply/request.ts';
import { type Tracking, trackManagers } from '../apply/track.ts';
import type { Place, ServedKind } from '../kind.ts';
import {
  badRequest,
  conflict,
  type FieldError,
  invalid,
  MODIFIED,
  notFound,
  refused,
} from '../status.ts';
import type { Store } from '../store/store.ts';
import { decodeFields, type FieldOptions } from '../validate/fields.ts';
import { validateIdentity, validateMetadata } from '../validate/metadata.ts';
import { validateServed } from '../validate/not-served.ts';
import { validateSchema } from '../validate/schema.ts';
import {
  checkPreconditions,
  type DeleteOptions,
  finalizersFor,
  isHolding,
  isReleased,
} from './deletion.ts';
import { SERVED } from './kinds.ts';
import { mergePatch, type Patcher } from './patch.ts';
import { bare, keepIdentity, specOf, withoutStatus, withStatus } from './update.ts';

/** How a write is done. */
export interface WriteOptions extends Tracking, FieldOptions {
  /** Do everything but store the result. */
  dryRun: boolean;
}

/** Longest prefix of a generated name, which must be a label: apiserver/pkg/storage/names. */
const GENERATED_BASE_MAX = 58;
const WRITE: WriteOptions = { dryRun: false, strict: false };

/** The verbs on objects of all kinds. The store is synchronous, so two writes never overlap. */
export class Registry {
  readonly store: Store;
  readonly #allocator: Allocator;

  constructor(store: Store, ranges: AllocatorRanges) {
    this.store = store;
    this.#allocator = new Allocator(ranges);
    // Restored objects keep their addresses.
    for (const kind of SERVED.filter((row) => row.hasAddresses)) {
      store.each(kind.plural, (object) => {
        this.#allocator.allocateService(structuredClone(object), undefined);
      });
    }
  }

  get(kind: ServedKind, { namespace, name }: Place): KubeObject {
    const object = this.store.get(kind.plural, namespace, name);
    if (!object) throw notFound(kind, name);
    return object;
  }

  /**
   * Throws StatusError AlreadyExists, Invalid, NotFound (namespace), Forbidden (namespace ends).
   */
  create(
    kind: ServedKind,
    namespace: string,
    body: unknown,
    options: WriteOptions = WRITE,
  ): KubeObject {
    const object = this.#read(kind, body, options);
    const { metadata } = object;
    this.#place(kind, namespace, metadata);
    const asked = metadata.name || (metadata.generateName ?? '');
    if (!metadata.name && metadata.generateName) {
      const base = metadata.generateName.slice(0, GENERATED_BASE_MAX);
      metadata.name = base + lettersOf(randomBytes(5));
    }
    const identity = { uid: randomUUID(), creationTimestamp: timestamp(), generation: 1 };
    Object.assign(metadata, identity);
    delete metadata.resourceVersion;
    delete metadata.deletionTimestamp;
    delete metadata.deletionGracePeriodSeconds;
    if (kind.hasStatus && kind.kind !== 'Node') delete object.status;
    if (kind.initialStatus) object.status = { ...kind.initialStatus };
    kind.setDefaults(object, undefined);
    this.#validate(kind, object, undefined);
    if (kind.namespaced) this.#requireNamespace(kind, metadata);
    kind.admit(this.store, object, asked);
    if (this.store.get(kind.plural, metadata.namespace ?? '', metadata.name)) {
      return this.store.create(kind.plural, object);
    }
    trackManagers(kind, undefined, object, '', options);
    return this.#keep(kind, object, undefined, options.dryRun);
  }

  /**
   * Replaces an object except its status, or with `status` only its status. Throws StatusError.
   */
  update(
    kind: ServedKind,
    place: Place,
    body: unknown,
    status: boolean,
    options: WriteOptions = WRITE,
  ): KubeObject {
    const given = this.#read(kind, body, options);
    this.#place(kind, place.namespace, given.metadata);
    if (given.metadata.name !== place.name) {
      throw badRequest(
        `the name of the object (${given.metadata.name}) does not match the name on the URL ` +
          `(${place.name})`,
      );
    }
    const old = this.get(kind, place);
    return this.#change(kind, old, given, status, options);
  }

  /**
   * Patches an object, or with `status` its status. The default is a merge patch. Throws
   * StatusError.
   */
  patch(
    kind: ServedKind,
    place: Place,
    patch: unknown,
    status: boolean,
    options: WriteOptions = WRITE,
    patcher: Patcher = mergePatch,
  ): KubeObject {
    const old = this.get(kind, place);
    const patched = this.#read(kind, patcher(old, patch), { ...options, patch });
    // A patch without a resourceVersion applies to the current object.
    patched.metadata.resourceVersion ??= old.metadata.resourceVersion;
    const { name } = patched.metadata;
    if (name !== place.name) {
      throw badRequest(`a patch cannot change metadata.name from ${place.name} to ${name}`);
    }
    return this.#change(kind, old, patched, status, options);
  }

  /** Server-side apply to an object, or with `status` to its status. Throws StatusError. */
  apply(
    kind: ServedKind,
    place: Place,
    body: unknown,
    status: boolean,
    options: WriteOptions & ApplyOptions,
  ): { object: KubeObject; created: boolean } {
    const live = this.store.get(kind.plural, place.namespace, place.name);
    if (!live && status) throw notFound(kind, place.name);
    const applied = applyBody(live ?? null, body, { kind, ...place, status }, options);
    const tracked = { ...options, managers: applied.managers };
    if (!live) {
      return { object: this.create(kind, place.namespace, applied.object, tracked), created: true };
    }
    const object = this.#read(kind, applied.object, options);
    return { object: this.#change(kind, live, object, status, tracked), created: false };
  }

  /** Deletes an object, or starts its deletion and returns it with a deletionTimestamp. */
  remove(kind: ServedKind, place: Place, options: DeleteOptions, dryRun = false): KubeObject {
    const { gracePeriodSeconds, preconditions } = options;
    const old = this.get(kind, place);
    const { metadata } = old;
    if (kind.protectedNames.includes(place.name)) {
      throw refused(kind, place.name, `this ${kind.singular} may not be deleted`);
    }
    checkPreconditions(kind, metadata, preconditions);
    if (dryRun) return old;
    // A negative value means one second.
    const asked = gracePeriodSeconds ?? kind.graceS(old);
    const graceS = asked < 0 ? 1 : asked;
    // A pod without a node ends at once, whatever grace period is asked for.
    const waits = kind.graceS(old) > 0 ? graceS : 0;
    const finalizers = finalizersFor(metadata.finalizers, options);
    const isSame = isEqual(finalizers, metadata.finalizers ?? []);
    const marked: KubeObject = {
      ...old,
      metadata: {
        ...metadata,
        ...(isSame ? {} : { finalizers }),
        deletionTimestamp: timestamp(Date.now() + waits * 1000),
        deletionGracePeriodSeconds: waits,
      },
    };
    if (waits === 0 && !isHolding(kind, marked)) return this.#end(kind, old);
    if (metadata.deletionTimestamp && waits >= (metadata.deletionGracePeriodSeconds ?? 0)) {
      if (isSame) return old;
      const { deletionTimestamp, deletionGracePeriodSeconds } = metadata;
      Object.assign(marked.metadata, { deletionTimestamp, deletionGracePeriodSeconds });
    }
    if (kind.kind === 'Namespace') marked.status = { ...old.status, phase: 'Terminating' };
    return this.store.update(kind.plural, marked);
  }

  #end(kind: ServedKind, object: KubeObject): KubeObject {
    const { namespace = '', name } = object.metadata;
    const removed = this.store.remove(kind.plural, namespace, name) ?? object;
    if (kind.hasAddresses) this.#allocator.releaseService(object);
    return removed;
  }

  /** Allocates and stores. A dry run, or a refusal of the store, releases the allocation. */
  #keep(kind: ServedKind, object: KubeObject, old?: KubeObject, dryRun = false): KubeObject {
    const moveBack = this.#allocator.mark();
    if (kind.hasAddresses) this.#allocator.allocateService(object, old);
    let stored: KubeObject | null = null;
    try {
      if (dryRun) return object;
      stored = old
        ? this.store.update(kind.plural, object)
        : this.store.create(kind.plural, object);
      return stored;
    } finally {
      if (!stored) {
        this.#giveBack(kind, object, old);
        moveBack();
      }
    }
  }

  #giveBack(kind: ServedKind, object: KubeObject, old: KubeObject | undefined): void {
    if (!kind.hasAddresses) return;
    if (old) this.#allocator.allocateService(structuredClone(old), object);
    else this.#allocator.releaseService(object);
  }

  #change(
    kind: ServedKind,
    old: KubeObject,
    given: KubeObject,
    status: boolean,
    options: WriteOptions,
  ): KubeObject {
    const object = status ? withStatus(old, given) : withoutStatus(kind, old, given);
    keepIdentity(kind, object.metadata, old.metadata);
    if (!status) {
      kind.setDefaults(object, old);
      this.#validate(kind, object, old);
      kind.admit(this.store, object, object.metadata.name, old);
      const changed = !isEqual(specOf(object), specOf(old));
      object.metadata.generation = (old.metadata.generation ?? 1) + (changed ? 1 : 0);
    } else this.#refuse(kind, object, validateSchema(kind.kind, object));
    trackManagers(kind, old, object, status ? 'status' : '', options);
    const { resourceVersion, name } = object.metadata;
    if (resourceVersion && resourceVersion !== old.metadata.resourceVersion) {
      throw conflict(kind, name, MODIFIED);
    }
    if (isEqual({ ...object, metadata: bare(object) }, { ...old, metadata: bare(old) })) return old;
    if (options.dryRun) return status ? object : this.#keep(kind, object, old, true);
    // The last finalizer and the object go in one write, which cannot fail halfway.
    if (isReleased(object)) return this.#end(kind, old);
    return status ? this.store.update(kind.plural, object) : this.#keep(kind, object, old);
  }

  /** The decoded body, as a copy. Throws StatusError BadRequest. */
  #read(kind: ServedKind, body: unknown, options: WriteOptions): KubeObject {
    if (!isObject(body)) throw badRequest('the body of the request must be a JSON object');
    const object = structuredClone(body) as KubeObject;
    for (const field of ['apiVersion', 'kind'] as const) {
      const given = object[field];
      if (given !== undefined && given !== null && given !== '' && given !== kind[field]) {
        throw badRequest(
          `the object provided is unrecognized (must be of type ${kind.kind}): ${field} is ` +
            `${JSON.stringify(given)}`,
        );
      }
    }
    object.metadata ??= {} as ObjectMeta;
    // Decoding comes first, so later steps meet no null and no wrong type.
    decodeFields(kind, object, options);
    return Object.assign(object, { apiVersion: kind.apiVersion, kind: kind.kind });
  }

  #place(kind: ServedKind, namespace: string, metadata: ObjectMeta): void {
    if (!kind.namespaced) delete metadata.namespace;
    else if (!metadata.namespace) metadata.namespace = namespace;
    else if (metadata.namespace !== namespace) {
      throw badRequest(
        `the namespace of the provided object does not match the namespace sent on the request`,
      );
    }
  }

  #requireNamespace(kind: ServedKind, { namespace = '', name }: ObjectMeta): void {
    const found = this.store.get('namespaces', '', namespace);
    if (!found) throw notFound({ plural: 'namespaces', group: '', kind: 'Namespace' }, namespace);
    if (found.status?.phase !== 'Terminating') return;
    const because = 'because it is being terminated';
    const why = `unable to create new content in namespace ${namespace} ${because}`;
    const message = `namespace ${namespace} is being terminated`;
    throw refused(kind, name, why, [
      { reason: 'NamespaceTerminating', message, field: 'metadata.namespace' },
    ]);
  }

  #validate(kind: ServedKind, object: KubeObject, old: KubeObject | undefined): void {
    const schema = validateSchema(kind.kind, object);
    this.#refuse(kind, object, [
      ...validateMetadata(kind, object),
      ...(old ? validateIdentity(object.metadata, old.metadata) : []),
      ...(schema.length > 0 ? schema : validateAll(kind, object, old)),
    ]);
  }

  #refuse(kind: ServedKind, object: KubeObject, errors: FieldError[]): void {
    if (errors.length > 0) throw invalid(kind, object.metadata.name ?? '', errors);
  }
}

function validateAll(
  kind: ServedKind,
  object: KubeObject,
  old: KubeObject | undefined,
): FieldError[] {
  return [...kind.validate(object, old), ...validateServed(kind.kind, object, old)];
}
