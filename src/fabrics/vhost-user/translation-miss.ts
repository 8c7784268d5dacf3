/**
 * Thrown when an address is not in the IOTLB yet: whoever needed it stops, as if nothing had been done, and is
 * tried again when the front-end has answered. One object for all, since nothing but the fact matters.
 */
class TranslationMiss extends Error {
  override readonly name = 'TranslationMiss';
}

export const TRANSLATION_MISS: Error = new TranslationMiss('an address is not in the IOTLB yet');
