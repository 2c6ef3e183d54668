import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  ATOMIC_MAPS,
  ATOMIC_MODELS,
  KEYED_LISTS,
} from '../../../../../control/apiserver/apply/list-kinds.ts';
import { fieldsOfModel } from '../../../../../control/kube/models.ts';

const LIST = /^Array<(.+)>$/;

test('every list with keys is a list of its model, and its items have these keys', () => {
  for (const [model, lists] of Object.entries(KEYED_LISTS)) {
    for (const [field, keys] of Object.entries(lists)) {
      const item = LIST.exec(fieldsOfModel(model)?.get(field) ?? '')?.[1];
      assert.ok(item, `${model}.${field} is no list`);
      for (const key of keys) assert.ok(fieldsOfModel(item)?.has(key), `${item} has no ${key}`);
      assert.deepEqual(keys, keys.toSorted(), `${model}.${field}`);
    }
  }
});

test('all atomic maps and structures exist', () => {
  for (const model of ATOMIC_MODELS) assert.ok(fieldsOfModel(model), model);
  for (const place of ATOMIC_MAPS) {
    const [model, field] = place.split('.') as [string, string];
    assert.match(fieldsOfModel(model)?.get(field) ?? '', /^\{ \[key: string\]/, place);
  }
});
