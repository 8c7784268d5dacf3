/**
 * Little-endian bytes, field by field: each call is one line of a layout in the specification, so that a test
 * reads beside the table it quotes. Wrong sizes and values are allowed; hostile tests need them.
 *
 *     new ByteBuilder().u32(index).u32(0).u64(descriptorTable).build();
 */
export class ByteBuilder {
  private readonly bytes: number[] = [];

  u8(...values: number[]): this {
    for (const value of values) this.bytes.push(value & 0xff);
    return this;
  }

  u16(...values: number[]): this {
    for (const value of values) this.u8(value, value >>> 8);
    return this;
  }

  u32(...values: number[]): this {
    for (const value of values) this.u16(value, value >>> 16);
    return this;
  }

  /** Numbers must be integers below 2^53; a bigint gives all 64 bits. */
  u64(...values: (number | bigint)[]): this {
    for (const value of values) {
      const bits = BigInt.asUintN(64, BigInt(value));
      this.u32(Number(bits & 0xffff_ffffn), Number(bits >> 32n));
    }
    return this;
  }

  raw(bytes: ArrayLike<number>): this {
    return this.u8(...Array.from(bytes));
  }

  zeroes(count: number): this {
    return this.u8(...new Array<number>(count).fill(0));
  }

  build(): Uint8Array {
    return Uint8Array.from(this.bytes);
  }
}
