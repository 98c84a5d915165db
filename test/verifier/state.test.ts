import { describe, expect, it } from 'vitest';
import { FuncState } from '../../src/verifier/core/types.ts';

describe('copies of a frame', () => {
  for (const held of [true, false])
    it(`change apart from one another, ${held ? 'with' : 'without'} references held`, () => {
      const frame = new FuncState();
      frame.grow(3);
      frame.reg(1).id = 11;
      frame.slot(2).spilled.id = 22;
      const before = frame.reg(1);
      const copy = frame.copy(held);
      if (held) before.id = 12;
      else frame.reg(1).id = 12;
      copy.reg(2).id = 5;
      frame.slot(2).slotType[0] = 3;
      copy.slot(1).spilled.id = 4;
      expect([frame.peek(1).id, copy.peek(1).id]).toEqual([12, 11]);
      expect([frame.peek(2).id, copy.peek(2).id]).toEqual([0, 5]);
      expect([frame.peekSlot(2)!.slotType[0], copy.peekSlot(2)!.slotType[0]]).toEqual([3, 0]);
      expect([frame.peekSlot(1)!.spilled.id, copy.peekSlot(1)!.spilled.id]).toEqual([0, 4]);
      expect(copy.peekSlot(2)!.spilled.id).toBe(22);
      const third = copy.copy(false);
      for (const reg of copy.regs) reg.id = 99;
      for (const slot of copy.stack) slot.spilled.id = 98;
      expect(third.peek(1).id).toBe(11);
      expect(third.peekSlot(2)!.spilled.id).toBe(22);
      copy.grow(4);
      expect([copy.depth, third.depth]).toEqual([4, 3]);
    });

  it('share what none of them changed', () => {
    const frame = new FuncState();
    frame.grow(1);
    const copy = frame.copy(false);
    frame.reg(3).id = 1;
    expect(frame.peek(4)).toBe(copy.peek(4));
    expect(frame.peek(3)).not.toBe(copy.peek(3));
    expect(frame.peekSlot(0)).toBe(copy.peekSlot(0));
  });
});
