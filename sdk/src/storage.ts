// Where tokens are kept is the app's choice. docs/sdk.md weighs it up.

/** Holds one text. Each method may answer at once or by a promise. */
export interface TokenStorage {
  get(): string | null | Promise<string | null>;
  set(value: string): void | Promise<void>;
  remove(): void | Promise<void>;
  /**
   * Calls back when another tab changed the text, until the function that it
   * returns is called. A storage that only one page sees has none.
   */
  subscribe?(changed: () => void): () => void;
}

/** Gone with the page. */
export function memoryStorage(): TokenStorage {
  let kept: string | null = null;
  return {
    get: () => kept,
    set: (value) => void (kept = value),
    remove: () => void (kept = null),
  };
}

/**
 * The browser's localStorage: shared by all tabs of the origin, and there after
 * a restart. Where the person has switched it off, or it is full, this is a
 * memoryStorage.
 */
export function localTokens(key: string): TokenStorage {
  const memory = memoryStorage();
  let alone = false; // localStorage takes nothing from us
  return {
    get() {
      try {
        if (!alone) return localStorage.getItem(key);
      } catch {
        alone = true;
      }
      return memory.get();
    },
    set(value) {
      try {
        localStorage.setItem(key, value);
        alone = false;
      } catch {
        // What stands there now is out of date; to show it would end the session.
        this.remove();
        alone = true;
        memory.set(value);
      }
    },
    remove() {
      memory.remove();
      try {
        localStorage.removeItem(key);
      } catch {
        alone = true;
      }
    },
    subscribe(changed) {
      const heard = (event: StorageEvent): void => {
        if (event.key === key || event.key === null) changed(); // null: all of it was cleared
      };
      addEventListener("storage", heard);
      return () => removeEventListener("storage", heard);
    },
  };
}

/** Kept for this tab, over a reload and a way to another site and back. Nothing here is a token. */
export const tab = {
  read<T>(key: string): T | null {
    try {
      return JSON.parse(sessionStorage.getItem(key) ?? "null");
    } catch {
      return null; // switched off, or not ours
    }
  },
  write(key: string, value: object): void {
    try {
      sessionStorage.setItem(key, JSON.stringify(value));
    } catch {
      // Switched off: what needs it says so when it is missed.
    }
  },
  remove(key: string): void {
    try {
      sessionStorage.removeItem(key);
    } catch {
      // As above.
    }
  },
};
