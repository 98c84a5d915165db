import { describe, expect, it } from 'vitest';
import { isPrintfFormat } from '../../src/verifier/access/strings.ts';

describe('formats of bpf_snprintf', () => {
  it.each([
    ['plain', 0],
    ['100%%', 0],
    ['%d %u %x %X %i', 5],
    ['%ld %llu', 2],
    ['%08llx|%-3d|% +5d', 3],
    ['%p', 1],
    ['%p, %s.', 2],
    ['%pK%px%ps%pS%pB', 5],
    ['%pi4 %pI6', 2],
    ['%pks %pus', 2],
    ['%c%c', 2],
    ['tab\tnewline\n', 0],
    ['%d', 3],
  ])('takes %j with %i arguments', (format, args) => {
    expect(isPrintfFormat(format, args)).toBe(true);
  });

  it.each([
    ['%d', 0],
    ['%q', 1],
    ['%', 1],
    ['%5', 1],
    ['%lld%lll', 2],
    ['%pi5', 1],
    ['%pM', 1],
    ['%sx', 1],
    ['%pksx', 1],
    ['%lc', 1],
    ['%01%', 1],
    ['\x01', 0],
    ['\x80', 0],
    ['\x7f', 0],
  ])('refuses %j with %i arguments', (format, args) => {
    expect(isPrintfFormat(format, args)).toBe(false);
  });
});
