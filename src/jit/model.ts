import type { Btf } from '../btf/index.ts';
import { JitError } from './error.ts';

/** `struct btf_func_model`: what a trampoline must know of a prototype. */
export interface FuncModel {
  /** Size in bytes of each argument; above 8 a struct by value that takes several registers. */
  argSizes: number[];
  /** BTF_FMODEL_STRUCT_ARG 1, BTF_FMODEL_SIGNED_ARG 2. */
  argFlags: number[];
  returnSize: number;
  returnFlags: number;
}

const MAX_ARGS = 12;
const STRUCT_ARG = 1;
const SIGNED_ARG = 2;

/**
 * Distils a prototype of BTF, as btf_distill_func_proto (kernel/bpf/btf.c, 6.12).
 * @throws JitError EINVAL for what trampolines cannot carry: more than 12 arguments, variadics, structs above 16 bytes.
 */
export function funcModel(btf: Btf, protoId: number): FuncModel {
  const proto = btf.resolve(protoId);
  if (proto.kind !== 'func_proto')
    throw new JitError(`type id ${protoId} is a ${proto.kind}, not a prototype`, 'EINVAL');
  if (proto.params.length > MAX_ARGS)
    throw new JitError(`The function has ${proto.params.length} arguments. Too many.`, 'EINVAL');
  const size = (id: number): [number, number] => {
    const type = btf.resolve(id);
    switch (type.kind) {
      case 'void':
        return [0, 0];
      case 'ptr':
        return [8, 0];
      case 'int':
        return [type.size, type.signed && !type.char && !type.bool ? SIGNED_ARG : 0];
      case 'enum':
      case 'enum64':
        return [type.size, 0];
      case 'struct':
      case 'union':
        return [type.size, STRUCT_ARG];
      default:
        throw new JitError(`a ${type.kind} cannot be an argument`, 'EINVAL');
    }
  };
  const [returnSize, returnFlags] = size(proto.returns);
  if ((returnFlags & STRUCT_ARG) !== 0) throw new JitError('the function returns a struct', 'EINVAL');
  const model: FuncModel = { argSizes: [], argFlags: [], returnSize, returnFlags };
  proto.params.forEach((param, i) => {
    if (param.type === 0) throw new JitError("The function has variable args, it's unsupported.", 'EINVAL');
    const [bytes, flags] = size(param.type);
    if (bytes > 16) throw new JitError(`argument ${i} has ${bytes} bytes, more than 16`, 'EINVAL');
    if (bytes === 0) throw new JitError(`argument ${i} has no size`, 'EINVAL');
    model.argSizes.push(bytes);
    model.argFlags.push(flags);
  });
  return model;
}

/** Argument registers (8 bytes each) of all arguments. */
export function registerCount(model: FuncModel): number {
  return model.argSizes.reduce((sum, size) => sum + ((size + 7) >> 3), 0);
}
