/**
 * A guest pointer held by the host: the low 32 bits of a guest address, unsigned. Regions have disjoint low halves, so
 * this names an address completely; the region supplies the upper half. 0 is NULL. See docs/numbers.md.
 */
export type GuestPtr = number;

export type FaultVector = '#UD' | '#CP' | '#PF' | '#GP' | '#DE' | '#BP' | 'budget';

/** What the guest did wrong, in the CPU's terms; who runs the machine decides what it means. */
export interface FaultInfo {
  vector: FaultVector;
  /** Address of the faulting instruction (for #CP: of the branch target, as the CPU pushes it). */
  rip: bigint;
  /** #PF: the address accessed (CR2) and the error code's bits. */
  address?: bigint;
  access?: 'read' | 'write' | 'execute';
  /** #PF: whether a mapping existed (protection fault) or not. */
  present?: boolean;
}
