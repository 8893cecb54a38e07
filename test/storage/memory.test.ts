import { memoryStorage } from "../support/memory-storage.ts";
import { storageContract } from "./contract.ts";

storageContract("the driver in memory", async () => memoryStorage());
